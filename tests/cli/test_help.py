"""What each verb says of itself, and what shells are told."""

import argparse
import shlex
import subprocess
import sys

import pytest

from tuibench.cli import BAD_USAGE, main
from tuibench.cli.command_line import VERBS, parser
from tuibench.methods import available_methods


def own_parser(verb):
    (verbs,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return verbs.choices[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_each_argument_of_a_verb_is_described_and_its_example_is_one(verb):
    own = own_parser(verb)
    undescribed = [action.dest for action in own._actions if not action.help]
    assert undescribed == []
    (example,) = (line for line in own.format_help().splitlines() if line.startswith("example: "))
    program, *words = shlex.split(example.removeprefix("example: ").partition(" > ")[0])
    assert program == "tuibench"
    assert parser().parse_args(words).verb == verb


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("rnu",), "tuibench: argument COMMAND: invalid choice 'rnu'; did you mean run?"),
        (("sessions", "shwo"), "tuibench: argument action: invalid choice 'shwo'; did you mean show?"),
        (("export", "x", "--format", "htm"), "tuibench: argument --format: invalid choice 'htm'; did you mean html?"),
        (("run", "--methods", "kv_cache"), "tuibench: unknown method 'kv_cache'; did you mean kv-cache?"),
        (("run", "--precision", "5"), "tuibench: argument --precision: 5 is not a share: 0.001 to 1; did you mean 5%?"),
        (
            ("run", "--precision", "500"),
            "tuibench: argument --precision: 500 is not a share: 0.001 to 1; see `tuibench run --help`",
        ),
        (("export", "x"), "tuibench: the following arguments are required: --format; see `tuibench export --help`"),
        (("run", "--trails", "3"), "tuibench: unrecognized arguments: --trails 3; did you mean --trials?"),
        (("run", "--bogus"), "tuibench: unrecognized arguments: --bogus; see `tuibench run --help`"),
        (("--bogus",), "tuibench: unrecognized arguments: --bogus; see `tuibench --help`"),
        (("runtimes", "add", "llamacpp"), "tuibench: unknown runtime 'llamacpp'; did you mean llama-cpp?"),
        (("take", "fused_int8"), "tuibench: unknown method 'fused_int8'; did you mean fused-int8?"),
    ],
)
def test_whoever_finds_it_an_error_is_one_line_with_what_was_meant(arguments, line, capsys):
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == BAD_USAGE
    assert capsys.readouterr().err == f"{line}\n"


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory):
    script = tmp_path_factory.mktemp("completion") / "tuibench"
    command = [sys.executable, "-m", "tuibench", "completion", "bash"]
    script.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return script


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ser", {"serve", "serve-model"}),
        ("take fused-int8", {"fused-int8", "fused-int8-lookup"}),
        ("run --calibration-r", {"--calibration-ranges"}),
        ("export last --format sv", {"svg"}),
        ("chat ", set(available_methods())),
    ],
)
def test_bash_completes_verbs_methods_options_and_their_values(bash_script, typed, offered):
    words = ["tuibench", *typed.split(" ")]
    asked = (
        f"source {shlex.quote(str(bash_script))}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
        'function="$(complete -p tuibench | sed "s/.*-F \\([^ ]*\\).*/\\1/")"; '
        '"$function" tuibench "${COMP_WORDS[COMP_CWORD]}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert {line.strip() for line in done.stdout.splitlines()} == offered


@pytest.mark.parametrize(("shell", "mark"), [("zsh", "#compdef tuibench"), ("tcsh", "complete tuibench")])
def test_other_shells_have_a_script_too(shell, mark, capsys):
    assert main(["completion", shell]) == 0
    assert mark in capsys.readouterr().out
