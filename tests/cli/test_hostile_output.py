"""A session full of escape sequences, markup and formulas: no command lets any of it act on a terminal or a reader."""

import csv
import io
import json
import re

import msgspec
import pytest

from tests.scripted import FINISHED, failed, header, record
from tuibench.cli import main
from tuibench.core.run.events import FailureKind
from tuibench.store.annotations import annotate
from tuibench.store.schema import Annotation
from tuibench.store.writer import SessionWriter

EVIL = '\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\x7f\r[bold red]=HYPERLINK("x")<script>alert(1)</script>'
_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TUIBENCH_SESSIONS", str(tmp_path / "sessions"))
    top = header()
    named = dict.fromkeys(("name", "source", "architecture", "dtype"), EVIL)
    model = msgspec.structs.replace(top.model, **named)
    machine = msgspec.structs.replace(top.machine, cpu=EVIL, kernel=EVIL, container=EVIL, virtualisation=EVIL,
                                      governor=EVIL, libraries={EVIL: EVIL})  # fmt: skip
    evil = f"={EVIL}"
    settings = msgspec.structs.replace(top.settings, prompt=EVIL, methods=("kv-cache", evil), order=("kv-cache", evil))
    top = msgspec.structs.replace(
        top, name=EVIL, tuibench_version=EVIL, model=model, machine=machine, settings=settings
    )
    path = tmp_path / "sessions" / f"20260101-{EVIL.replace('/', '')}.toml"
    writer = SessionWriter(path, top)
    said = {"text": EVIL, "piece_chars": (5, 5, 5, 5), "facts": (EVIL, f"precision: {EVIL}"), "validity": (EVIL,)}
    writer.append(record("kv-cache", **said))
    writer.append(record(evil, **said))
    writer.append(failed(evil, FailureKind.ERROR, index=1, message=EVIL))
    annotate(path, Annotation(name=EVIL, note=EVIL, tags=(EVIL,), written=FINISHED))
    return path


COMMANDS = [
    ["sessions", "list"],
    ["sessions", "list", "--format", "json"],
    ["sessions", "list", "--format", "jsonl"],
    *(["sessions", "show", "SESSION", "--format", output] for output in ("table", "json", "jsonl")),
    ["sessions", "show", "SESSION", "--follow"],
    *(["compare", "SESSION", "--format", output] for output in ("table", "md", "csv", "json", "benchstat")),
    *(
        ["export", "SESSION", "--format", output]
        for output in ("md", "csv", "json", "jsonl", "html", "svg", "benchstat")
    ),
    ["replay", "SESSION", "--plain", "--speed", "100000"],
    ["sessions", "show", "no\x1b[2Jne"],
    ["sessions", "rm", "no\x1b[2Jne"],
    ["run", "--resume", "no\x1b[2Jne"],
    ["run", "--resume", "SESSION"],
    ["run", "--model", "no\x1b[2Jne", "--methods", "kv-cache"],
    ["run", "--methods", "no\x1b[2Jne"],
    ["run", "--prompt-file", "no\x1b[2Jne"],
    ["models", "rm", "no\x1b[2Jne"],
    ["models", "pull", "./no\x1b[2Jne"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command).replace("\x1b", "ESC"))
def test_no_command_prints_what_a_terminal_acts_on(session, command, capsys):
    main([str(session) if word == "SESSION" else word for word in command])
    out, err = capsys.readouterr()
    assert out or err
    assert not (found := _ACTS.findall(out)), found
    assert not (found := _ACTS.findall(err)), found


@pytest.mark.parametrize("verb", ["compare", "export"])
def test_no_cell_of_a_csv_begins_a_formula(session, verb, capsys):
    assert main([verb, str(session), "--format", "csv"]) == 0
    cells = [cell for row in csv.reader(io.StringIO(capsys.readouterr().out)) for cell in row]
    assert len(cells) > 20
    assert not [cell for cell in cells if cell[:1] in ("=", "@", "\t") or re.match(r"[+-](?!\d|inf|nan)", cell)]


def test_no_markup_of_a_session_gets_into_a_page(session, capsys):
    for output in ("html", "svg", "md"):
        assert main(["export", str(session), "--format", output]) == 0
        assert "<script>alert" not in capsys.readouterr().out


def test_json_means_the_same_with_its_characters_escaped(session, capsys):
    assert main(["sessions", "show", str(session), "--format", "jsonl"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["text"] == EVIL
