import json
import re
from pathlib import Path

import msgspec
import pytest

from tests.measured_runs import trials
from tests.scripted import failed, header
from tuibench.cli import BAD_USAGE, CANNOT_TELL, OK, REGRESSED, SOME_FAILED, main
from tuibench.core.run.events import FailureKind
from tuibench.core.run.spec import Sampling
from tuibench.store.writer import SessionWriter


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_SESSIONS", str(tmp_path))

    def write(name, *records, **changes):
        path = tmp_path / f"{name}.toml"
        writer = SessionWriter(path, changed(**changes))
        for each in records:
            writer.append(each)
        return str(path)

    return write


def changed(*, cpu=None, **settings):
    """The header of a session on another CPU, with other settings."""
    top = header()
    machine = msgspec.structs.replace(top.machine, cpu=cpu or top.machine.cpu)
    return msgspec.structs.replace(top, machine=machine, settings=msgspec.structs.replace(top.settings, **settings))


@pytest.fixture
def before(store):
    return store("before", *trials("baseline", 3), *trials("kv-cache", 12))


def test_one_session_is_compared_method_by_method(before, capsys):
    assert main(["compare", before]) == OK
    out, err = capsys.readouterr()
    assert "baseline: 0.2" in out
    assert "× kv-cache" in out
    assert err == ""


@pytest.mark.parametrize("option", ["--yardstick", "--baseline"])
def test_yardstick_can_be_chosen(before, capsys, option):
    assert main(["compare", before, option, "baseline"]) == OK
    assert "× baseline" in capsys.readouterr().out


def test_unknown_yardstick_is_refused_with_what_there_is(before, capsys):
    assert main(["compare", before, "--yardstick", "onnx"]) == BAD_USAGE
    assert "measured: baseline, kv-cache" in capsys.readouterr().err


def test_a_slower_method_is_a_regression(store, before, capsys):
    after = store("after", *trials("baseline", 3), *trials("kv-cache", 9))
    assert main(["compare", before, after, "--fail-on-regression", "5"]) == REGRESSED
    assert "regression: kv-cache in after runs at 0.7" in capsys.readouterr().err


@pytest.mark.parametrize("allowed", ["5", "5%"])
def test_the_same_speed_is_none(store, before, allowed):
    after = store("after", *trials("baseline", 3), *trials("kv-cache", 12.02))
    assert main(["compare", before, after, "--fail-on-regression", allowed]) == OK


def test_a_loss_that_is_allowed_is_none(store, before):
    after = store("after", *trials("baseline", 3), *trials("kv-cache", 9))
    assert main(["compare", before, after, "--fail-on-regression", "40"]) == OK


def test_a_loss_that_noise_explains_is_none(store, before):
    after = store("after", *trials("baseline", 3), *trials("kv-cache", 10, sigma=0.5))
    assert main(["compare", before, after, "--fail-on-regression", "1"]) == OK


def test_one_trial_cannot_fail_a_build_but_is_told(store, before, capsys):
    after = store("after", *trials("baseline", 3), *trials("kv-cache", 6, n=1))
    assert main(["compare", before, after, "--fail-on-regression", "5"]) == OK
    assert "cannot tell: kv-cache in after runs at 0.50× [?] of before (too few trials)" in capsys.readouterr().err


def test_a_method_that_is_missing_on_one_side_is_no_pass(store, before, capsys):
    after = store("after", *trials("kv-cache", 12))
    assert main(["compare", before, after, "--fail-on-regression", "5"]) == SOME_FAILED
    assert "baseline was not measured in after: no pass" in capsys.readouterr().err
    assert main(["compare", after, before, "--fail-on-regression", "5"]) == SOME_FAILED
    slower = store("slower", *trials("kv-cache", 6))
    assert main(["compare", before, slower, "--fail-on-regression", "5"]) == REGRESSED


def test_sessions_that_measured_nothing_are_no_pass(store, capsys):
    nothing = [store(name, failed("kv-cache", FailureKind.CRASHED)) for name in ("one", "other")]
    assert main(["compare", *nothing, "--fail-on-regression", "5"]) == SOME_FAILED
    assert "no method was measured both in one and in other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt_sha256": "2" * 64}, "prompt: "),
        ({"max_new_tokens": 9}, "tokens: 9 against 4"),
        ({"raw": True}, "chat template: none against the model's"),
        ({"calibration_ranges": "entropy"}, "calibrated otherwise"),
        ({"sampling": Sampling(temperature=1)}, "sampling: temperature 1"),
        ({"cpu": "Another CPU"}, "CPU: Another CPU against Example CPU"),
    ],
)
def test_another_task_or_cpu_is_no_regression(store, before, capsys, changes, words):
    after = store("after", *trials("baseline", 1), *trials("kv-cache", 4), **changes)
    assert main(["compare", before, after, "--fail-on-regression", "5"]) == BAD_USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert "after and before were not measured alike" in err
    assert words in err


def sessions(store, name, *speeds_tps):
    return [store(f"{name}{i}", *trials("kv-cache", tps, sigma=0)) for i, tps in enumerate(speeds_tps)]


def gate(base, new, *more):
    return main(["compare", "--base", *base, "--new", *new, "--fail-on-regression", "5", *more])


def test_sessions_a_side_tell_what_one_cannot(store, capsys):
    base = sessions(store, "base", 10.0, 10.1, 9.9)
    assert gate(base, sessions(store, "same", 9.9, 10.1, 10.0)) == OK
    err = capsys.readouterr().err
    assert "not slower by more than 5.0 %: kv-cache" in err
    assert "assumed" not in err
    assert gate(base, sessions(store, "slow", 9.0, 9.1, 9.05)) == REGRESSED
    assert (
        "regression: kv-cache in 3 new sessions runs at 0.91× [0.89, 0.92] of 3 base sessions"
        in capsys.readouterr().err
    )


def test_what_cannot_be_told_passes_unless_it_must_not(store, capsys):
    base, new = sessions(store, "base", 10.0, 10.8, 9.2), sessions(store, "new", 9.9, 10.6, 9.0)
    assert gate(base, new) == OK
    assert "cannot tell: kv-cache in 3 new sessions" in capsys.readouterr().err
    assert gate(base, new, "--strict") == CANNOT_TELL


def test_one_session_a_side_tells_with_the_noise_that_is_assumed(store, capsys):
    base, new = sessions(store, "base", 10.0), sessions(store, "new", 9.1)
    assert gate(base, new, "--strict") == CANNOT_TELL
    assert "3.0 % was assumed" in capsys.readouterr().err
    assert gate(base, new, "--run-noise", "1") == REGRESSED


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--base", "{0}"], "--base and --new go together"),
        (["{0}", "--base", "{0}", "--new", "{0}"], "either after --base and --new"),
        ([], "which sessions?"),
        (["{0}", "{0}", "--strict"], "go with --fail-on-regression"),
        (["--base", "{0}", "{0}", "--new", "{0}", "--fail-on-regression", "5"], "named twice on one side"),
    ],
)
def test_sides_that_are_named_otherwise_are_refused(before, capsys, arguments, words):
    assert main(["compare", *(each.format(before) for each in arguments)]) == BAD_USAGE
    assert words in capsys.readouterr().err


def test_help_tells_what_the_gate_promises(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    out = capsys.readouterr().out
    assert "cannot tell  neither: exit code 0, with --strict 4" in out
    assert "--base A1 A2 A3 --new B1 B2 B3" in out


def test_a_regression_needs_two_sessions(before, capsys):
    assert main(["compare", before, "--fail-on-regression", "5"]) == BAD_USAGE
    assert "name at least two" in capsys.readouterr().err


def test_another_machine_or_task_is_warned_of(store, before, capsys):
    after = store("after", *trials("kv-cache", 12), cpu="Another CPU", n_threads=7)
    assert main(["compare", before, after]) == OK
    err = capsys.readouterr().err
    assert "differ in what matters: threads: 7 against" in err
    assert "CPU: Another CPU against Example CPU" in err


def test_what_sessions_have_in_common_is_told_once(store, before, capsys):
    after = store("after", *trials("kv-cache", 12), n_threads=7)
    main(["compare", before, after])
    _, _, head, table, *_ = capsys.readouterr().out.split("\n\n")
    assert "model: SmolLM2-135M-Instruct" in head
    assert "SmolLM2" not in table
    assert "threads" in table.splitlines()[0]


def test_a_session_twice_gets_two_names(before, capsys):
    main(["compare", before, before, "--format", "json"])
    labels = [run["label"] for run in json.loads(capsys.readouterr().out)["runs"]]
    assert labels == ["before", "before (2)"]


def test_headlines_and_what_changed_come_first(store, before, capsys):
    main(["compare", before, store("after", *trials("kv-cache", 24))])
    headlines, changed, *_, last = capsys.readouterr().out.split("\n\n")
    assert headlines.splitlines() == [
        "before: cannot tell: measure again, because quality was not measured",
        "after: nothing to choose from but kv-cache",
    ]
    assert changed.splitlines()[0] == "before → after"
    assert changed.splitlines()[1] == "baseline: not measured in after"
    assert re.match(r"kv-cache: 2\.\d\d× faster \[", changed.splitlines()[2])
    assert last.startswith("before: cannot tell")


@pytest.mark.parametrize("name", ["md", "csv", "json", "benchstat"])
def test_formats_go_to_standard_output(before, name, capsys):
    assert main(["compare", before, "--format", name]) == OK
    assert "kv-cache" in capsys.readouterr().out


@pytest.mark.parametrize("width", ["80", "100"])
def test_the_table_fits_the_terminal(store, before, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    main(["compare", before, store("after", *trials("kv-cache", 11), n_threads=7)])
    table = capsys.readouterr().out.split("\n\n")[3]
    assert max(map(len, table.splitlines())) <= int(width)


@pytest.mark.usefixtures("store")
def test_a_missing_session_is_refused(capsys):
    assert main(["compare", "nothing"]) == BAD_USAGE
    assert "nothing" in capsys.readouterr().err


def test_export_writes_a_file(before, tmp_path, capsys):
    target = tmp_path / "page.html"
    assert main(["export", before, "--format", "html", "-o", str(target)]) == OK
    assert target.read_text().startswith("<!doctype html>")
    assert capsys.readouterr().out == ""


def test_export_writes_bytes_to_standard_output(before, capfdbinary):
    assert main(["export", before, "--format", "png"]) == OK
    assert capfdbinary.readouterr().out.startswith(b"\x89PNG")


def test_export_to_a_folder_that_is_not_there_is_refused(before, capsys):
    target = Path("/nonexistent/page.svg")
    assert main(["export", before, "--format", "svg", "-o", str(target)]) == BAD_USAGE
    assert f"{target}: cannot be written" in capsys.readouterr().err
