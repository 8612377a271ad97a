"""The program as a user starts it: its words, its exit codes, its streams."""

import os
import pty
import subprocess
import sys

import pytest

from tests.scripted import failed, header, record
from tuibench.core.run.events import FailureKind
from tuibench.store.writer import SessionWriter


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user with no configuration, no cache and no sessions."""
    for name in ("TUIBENCH_SESSIONS", "TUIBENCH_CACHE", "TUIBENCH_THEMES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUIBENCH_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def tuibench(*arguments, cwd=None, **options):
    command = [
        sys.executable,
        "-m",
        "tuibench",
        *(word if isinstance(word, bytes) else str(word) for word in arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False, **options)


def one_line_error(done):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.strip().splitlines()[-1]


def stored(home, name="20260102-test", *trials):
    path = home / "sessions" / f"{name}.toml"
    writer = SessionWriter(path, header())
    for trial in trials or (record("baseline", step_ns=(300_000_000,) * 3), record("kv-cache")):
        writer.append(trial)
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--methods", "kv-cach"), "unknown method 'kv-cach'; did you mean kv-cache?"),
        (("run", "--methods", ","), "no method named"),
        (("run", "--model", "no/such-folder/"), "no/such-folder"),
        (("run", "--model", ""), "--model: it is empty"),
        (("--model", ""), "--model: it is empty"),
        (("models", "pull", " "), "it is empty"),
        (("models", "rm", "--artifacts", ""), "it is empty"),
        (("sessions", "rm", ""), "it is empty"),
        (("replay", ""), "it is empty"),
        (("export", "", "--format", "md"), "it is empty"),
        (("run", "--resume", ""), "it is empty"),
        (("run", "--output", ""), "it is empty"),
        (("run", "--prompt-file", ""), "it is empty"),
        (("run", "--prompt", b"caf\xe9"), "--prompt: it is not UTF-8 text"),
        (("run", "--name", b"caf\xe9"), "--name: it is not UTF-8 text"),
        (("run", "--model", b"./caf\xe9"), "--model: it is not UTF-8 text"),
        (("sessions", "edit", "x", "--note", b"\xff"), "--note: it is not UTF-8 text"),
        (("run", "--prompt-date", "yesterday"), "'yesterday' is not a day"),
        (("run", "--seed", str(1 << 63)), "too large"),
        (("run", "--method", "kv-cache"), "unrecognized arguments: --method kv-cache; did you mean --methods?"),
        (("run", "--max-new", "3"), "unrecognized arguments: --max-new 3"),
        (("--low",), "unrecognized arguments: --low"),
        (("sessions", "list", "--form", "json"), "unrecognized arguments: --form json; did you mean --format?"),
        (("doctor", "--\x1b[2J"), "unrecognized arguments: --␛[2J"),
        (("run", "--model", "https://huggingface.co/a/b/tree/v1"), "`hf download a/b --revision v1`"),
        (("--model", "no/such-folder/", "run"), "no/such-folder"),
        (("run", "--prompt", ""), "empty"),
        (("run", "--prompt", "  \n"), "empty"),
        (("run", "--prompt-file", "none.txt"), "none.txt: cannot be read"),
        (("run", "--max-new-tokens", "0"), "0 is too small"),
        (("run", "--trials", "-3"), "-3 is too small"),
        (("run", "--threads", "0"), "0 is too small"),
        (("run", "--trials", "many"), "is not a whole number"),
        (("run", "--temperature", "-1"), "temperature"),
        (("run", "--top-p", "0"), "probability"),
        (("run", "--timeout", "0"), "time"),
        (("replay", "nothing"), "nothing: no such session"),
        (("replay", "nothing", "--speed", "0"), "--speed: 0 is not a speed"),
        (("replay", "nothing", "--speed", "nan"), "--speed: nan is not a speed"),
        (("replay", "nothing", "--speed", "inf"), "--speed: inf is not a speed"),
        (("sessions", "show"), "which session?"),
        (("sessions", "show", "nothing"), "nothing: no such session"),
        (("sessions", "rm", "nothing"), "nothing: no such session"),
        ((), "needs a terminal"),
        (("--nonsense",), "unrecognized arguments"),
        (("fly",), "invalid choice"),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_code_2(home, arguments, words):
    assert words in one_line_error(tuibench(*arguments, cwd=home))


def test_a_prompt_file_that_is_not_utf8_is_named_with_a_remedy(home):
    (home / "p.txt").write_bytes(b"caf\xe9")
    assert "iconv" in one_line_error(tuibench("run", "--prompt-file", "p.txt", cwd=home))


def test_an_empty_prompt_file_is_refused(home):
    (home / "p.txt").write_text("")
    assert "p.txt is empty" in one_line_error(tuibench("run", "--prompt-file", "p.txt", cwd=home))


def test_an_output_folder_that_cannot_be_made_is_refused_before_anything_is_measured(home):
    (home / "file").write_text("")
    assert "--output" in one_line_error(tuibench("run", "--output", "file/sessions", cwd=home))


def test_a_dumb_terminal_is_told_what_to_do_instead():
    controller, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "tuibench"],
        stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    os.close(terminal)
    os.close(controller)
    assert done.returncode == 2
    assert "tuibench run" in done.stderr


@pytest.mark.parametrize(
    ("redirection", "words"), [(">&-", "standard output is closed"), ("> /dev/full", "No space left on device")]
)
def test_a_standard_output_that_takes_nothing_is_one_line(home, redirection, words):
    stored(home)
    command = f"{sys.executable} -m tuibench sessions list {redirection}"
    one_line_of_stdout_trouble(
        subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False), words
    )


def test_a_reader_that_has_gone_is_one_line(home):
    stored(home)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tuibench", "sessions", "list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    one_line_of_stdout_trouble(done, "Broken pipe")


def one_line_of_stdout_trouble(done, words):
    (line,) = done.stderr.splitlines()
    assert words in line
    assert done.returncode == 2


def test_methods_are_listed_in_ladder_order():
    lines = tuibench("methods").stdout.splitlines()
    assert lines[0].startswith("baseline")
    assert lines[1].startswith("kv-cache")
    assert "after baseline" in lines[1]


def test_sessions_are_listed_and_shown(home):
    path = stored(home)
    (home / "sessions" / "broken.toml").write_text("hello")
    listed = tuibench("sessions").stdout
    assert "20260102-test" in listed
    assert "SmolLM2-135M-Instruct: baseline, kv-cache" in listed
    assert "broken" in listed
    shown = tuibench("sessions", "show", path)
    assert shown.returncode == 0
    assert "Explain a KV-cache." in shown.stdout
    assert "12.0×" in shown.stdout


def test_a_failed_trial_is_shown_with_its_reason_and_its_escapes_made_visible(home):
    path = stored(home, "f", failed("baseline", FailureKind.CRASHED, message="died \x1b[31m of SIGSEGV"))
    shown = tuibench("sessions", "show", path).stdout
    assert "crashed: died ␛[31m of SIGSEGV" in shown
    assert "\x1b" not in shown


def test_a_cut_session_is_shown_with_a_word_on_what_is_lost(home):
    path = stored(home)
    path.write_bytes(path.read_bytes()[:-20])
    done = tuibench("sessions", "show", path)
    assert done.returncode == 0
    assert "dropped" in done.stderr


def test_sessions_and_replay_work_without_model_libraries(home):
    path = stored(home)
    for arguments in (("sessions", "list"), ("sessions", "show", path), ("replay", path, "--plain", "--speed", "100")):
        program = (
            "import sys\n"
            "for name in ('torch', 'transformers', 'numpy', 'onnxruntime', 'textual'): sys.modules[name] = None\n"
            f"from tuibench.cli import main\nsys.exit(main({list(map(str, arguments))!r}))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_plain_replay_prints_each_methods_text_then_the_result(home):
    done = tuibench("replay", stored(home), "--plain", "--speed", "50")
    assert "baseline │ Hello, world !" in done.stdout
    assert "kv-cache │ Hello, world !" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("cannot tell: measure again")


def test_rm_removes_one_session(home):
    path = stored(home)
    assert tuibench("sessions", "rm", "20260102-test").returncode == 0
    assert not path.exists()


def test_version_is_the_packages():
    import tuibench as package

    assert tuibench("--version").stdout.strip() == f"tuibench {package.__version__}"
