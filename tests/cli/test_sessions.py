"""Changing stored sessions from the command line."""

import json

import pytest
from msgspec.structs import replace

from tests.scripted import header, record
from tuibench import paths
from tuibench.cli import BAD_USAGE, OK, main
from tuibench.store.session import load, load_header
from tuibench.store.writer import SessionWriter


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "sample_sessions", lambda: tmp_path / "samples")
    for name in ("20260301-a", "20260302-b"):
        SessionWriter(tmp_path / "sessions" / f"{name}.toml", header()).append(record("baseline"))
    return tmp_path / "sessions"


def test_one_of_a_kind_is_told_in_the_singular(folder, capsys):
    one = replace(
        header(),
        machine=replace(header().machine, n_cpus_effective=1),
        settings=replace(header().settings, max_new_tokens=1, n_threads=1, n_trials=1),
    )
    SessionWriter(folder / "20260303-c.toml", one).append(record("baseline"))
    assert main(["sessions", "show", "20260303"]) == OK
    told = capsys.readouterr().out
    assert "· 1 CPU ·" in told
    assert "1 token · 1 thread · 1 trial ·" in told


def test_a_removed_session_is_brought_back(folder, capsys):
    assert main(["sessions", "rm", "20260301"]) == OK
    assert not (folder / "20260301-a.toml").exists()
    assert "`tuibench sessions restore 20260301-a` brings it back" in capsys.readouterr().err
    assert main(["sessions", "restore", "20260301-a"]) == OK
    assert (folder / "20260301-a.toml").exists()
    assert main(["sessions", "restore"]) == BAD_USAGE
    assert "no session was removed" in capsys.readouterr().err


def test_without_a_name_the_last_removed_comes_back(folder):
    main(["sessions", "rm", "20260302"])
    assert main(["sessions", "restore"]) == OK
    assert (folder / "20260302-b.toml").exists()


def test_a_session_gets_name_tags_and_note(folder, capsys):
    assert main(["sessions", "edit", "20260301", "--name", "mine", "--tags", "Laptop,int8"]) == OK
    assert main(["sessions", "edit", "20260301", "--note", "hot day"]) == OK
    session = load(folder / "20260301-a.toml")
    assert session.name == "mine"
    assert session.annotation.tags == ("laptop", "int8")
    assert session.annotation.note == "hot day"
    capsys.readouterr()
    assert main(["sessions", "list"]) == OK
    assert "#laptop #int8" in capsys.readouterr().out
    assert main(["sessions", "list", "--format", "json"]) == OK
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mine"]["note"] == "hot day"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["edit"], "which session?"),
        (["edit", "20260301"], "nothing to change"),
        (["edit", "2026", "--name", "x"], "several sessions begin so"),
        (["edit", "no", "--name", "x"], "no such session"),
        (["rm", "no"], "no such session"),
        (["restore", "no"], "no session no was removed"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(arguments, reason, capsys):
    assert main(["sessions", *arguments]) == BAD_USAGE
    assert reason in capsys.readouterr().err


def test_a_damaged_file_is_not_annotated(folder, capsys):
    (folder / "20260303-bad.toml").write_text("[oops")
    assert main(["sessions", "edit", "20260303", "--name", "x"]) == BAD_USAGE
    assert "not valid TOML at its top" in capsys.readouterr().err
    assert (folder / "20260303-bad.toml").read_text() == "[oops"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [["show", "last"], ["edit", "last", "--note", "x"], ["rm", "20260301"]])
def test_a_session_that_was_listed_is_found_by_name_without_reading_the_others(monkeypatch, command):
    main(["sessions", "list"])
    read = []
    monkeypatch.setattr("tuibench.store.catalogue.load_header", lambda path: read.append(path) or load_header(path))
    assert main(["sessions", *command]) == OK
    assert read == []
