"""Bytes from outside that are no text: names of files, and a standard output of another encoding."""

import csv
import io
import json
import os
import re
import subprocess

import pytest

from tests.scripted import header, record
from tests.terminal import CTRL_Q, TUIBENCH, Terminal
from tuibench.store.writer import SessionWriter

ODD = os.fsdecode(b"caf\xe9")
BROKEN = "two\nlines\tand a tab"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three sessions, and two damaged ones, most of them oddly called."""
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TUIBENCH_SESSIONS", str(tmp_path / "sessions"))
    for name in (ODD, BROKEN, "plain"):
        SessionWriter(tmp_path / "sessions" / f"{name}.toml", header()).append(record("kv-cache"))
    for name in (ODD, BROKEN):
        (tmp_path / "sessions" / f"x {name}.toml").write_text("no = ")
    return tmp_path / "sessions"


def run(*words, encoding=None):
    environment = os.environ | ({"PYTHONIOENCODING": encoding} if encoding else {})
    return subprocess.run([*TUIBENCH, *words], capture_output=True, check=False, env=environment)


def out(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.usefixtures("folder")
def test_a_list_has_one_line_for_each_session_whatever_it_is_called():
    for _ in range(2):  # the second time from what is remembered
        _heading, *lines = out(run("sessions")).splitlines()
        named = [re.match(r"(.*?)  +(?:2026|–)", line)[1] for line in lines if "sample" not in line]
        shown = "two␊lines␉and a tab"
        assert sorted(named) == sorted(["caf\ufffd", shown, "plain", "x caf\ufffd", f"x {shown}"])


@pytest.mark.parametrize("name", [ODD, BROKEN])
@pytest.mark.parametrize("output", ["md", "csv", "json", "jsonl", "html", "svg", "benchstat"])
def test_a_session_with_an_odd_name_is_exported_as_text(folder, name, output):
    text = out(run("export", str(folder / f"{name}.toml"), "--format", output))
    if output == "csv":
        assert [row[1] for row in csv.reader(io.StringIO(text))] == ["model", *["SmolLM2-135M-Instruct"] * 2]
    if output == "json":
        assert json.loads(text)


@pytest.mark.usefixtures("folder")
def test_json_of_all_sessions_is_json():
    names = {session["name"] for session in json.loads(out(run("sessions", "--format", "json")))}
    assert {"caf\ufffd", BROKEN, "plain"} <= names


def test_odd_names_are_understood(folder):
    assert "caf\ufffd" in out(run("sessions", "show", ODD)).splitlines()[0]
    assert out(run("sessions", "show", f"{ODD}.toml", "--format", "json"))
    compared = out(run("compare", str(folder / f"{ODD}.toml"), str(folder / f"{BROKEN}.toml")))
    assert "caf\ufffd" in compared
    assert "two␊lines␉and a tab" in compared
    assert run("sessions", "rm", ODD).returncode == 0
    assert not (folder / f"{ODD}.toml").exists()
    assert run("sessions", "restore", ODD).returncode == 0
    assert (folder / f"{ODD}.toml").exists()


@pytest.mark.usefixtures("folder")
def test_an_error_is_one_line_whatever_is_named_in_it():
    done = run("sessions", "show", "no\nsuch" + ODD)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert "no␊suchcaf\ufffd: no such session" in line


COMMANDS = [
    ["sessions"], ["sessions", "show", "plain"], ["compare", "plain"], ["methods"], ["replay", "plain", "--plain"],
    ["run", "--help"], ["models"],
]  # fmt: skip


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_standard_output_cannot_hold_becomes_a_question_mark(command):
    whole = run(*command, encoding="utf-8")
    for encoding in ("latin-1", "ascii"):
        done = run(*command, encoding=encoding)
        assert done.returncode == whole.returncode == 0, done.stderr
        assert done.stdout == whole.stdout.decode().encode(encoding, errors="replace")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "command",
    [
        ["sessions", "--format", "json"],
        ["sessions", "show", "plain", "--format", "jsonl"],
        ["compare", "plain", "--format", "md"],
        ["compare", "plain", "--format", "csv"],
    ],
    ids=" ".join,
)
def test_what_programs_read_is_utf8_wherever_it_goes(command):
    assert run(*command, encoding="ascii").stdout == run(*command, encoding="utf-8").stdout


def test_the_dashboard_lists_odd_names_and_draws_in_utf8_whatever_python_is_told(folder):
    environment = {"PYTHONIOENCODING": "latin-1", "TUIBENCH_SESSIONS": str(folder)}
    terminal = Terminal(TUIBENCH, env=environment)
    terminal.wait_for("Run")
    terminal.send("\x1bOR")  # F3: the sessions
    terminal.wait_for("x caf\ufffd")
    terminal.wait_for("x two␊lines␉")
    terminal.send(CTRL_Q)
    terminal.child.wait()
    terminal.close()
    assert terminal.child.exitstatus == 0


def test_a_calibration_text_that_no_worker_can_be_told_of_is_refused(folder):
    (folder / f"{ODD}.txt").write_text("Hello")
    done = run("run", "--calibration", str(folder / f"{ODD}.txt"))
    assert done.returncode == 2
    assert "caf\ufffd.txt: its path is not UTF-8" in done.stderr.decode()


def test_settings_that_are_left_out_are_told_before_the_dashboard_opens(tmp_path):
    (tmp_path / "config.toml").write_text("mouse = ")
    terminal = Terminal(TUIBENCH, env={"TUIBENCH_CONFIG": str(tmp_path / "config.toml")})
    terminal.wait_for("tuibench: config.toml: not read: not a valid TOML file")
    terminal.close()
