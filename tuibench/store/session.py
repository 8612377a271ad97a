"""Loading a session: as far as its tables are whole, with a word on what was dropped."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from tuibench.core.record import TrialRecord
from tuibench.store.schema import SCHEMA_VERSION, Annotation, Session, SessionError, SessionHeader

_MAX_BYTES = 256 << 20
# A lone bracket at the very end is all that is left of a table cut after its first byte.
_TABLE_START = re.compile(r"^(?=\[\[|\[\Z)", re.MULTILINE)


def load(path: Path) -> Session:
    """Load a session file up to its last whole table.

    Raises:
        SessionError: The file cannot be read, or its header is no session header.
    """
    text = _read(path)
    head, *tables = _TABLE_START.split(text)
    header = _header(path, head)
    trials: list[TrialRecord] = []
    annotation: Annotation | None = None
    dropped: list[str] = []
    line = head.count("\n") + 1
    for table in tables:
        try:
            raw = tomllib.loads(table)
            trials.extend(_records(raw))
            for said in msgspec.convert(raw.get("annotations", []), list[Annotation]):
                annotation = said.after(annotation)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            dropped.append(f"line {line}: a table was dropped, it is damaged or cut short ({error})")
        line += table.count("\n")
    return Session(header=header, trials=tuple(trials), annotation=annotation, dropped=tuple(dropped))


def load_header(path: Path) -> SessionHeader:
    """Load only the top of a session file.

    Raises:
        SessionError: The file cannot be read, or its header is no session header.
    """
    head, *_ = _TABLE_START.split(_read(path), maxsplit=1)
    return _header(path, head)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SessionError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, which no session is")
        return path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        raise SessionError(f"{path}: no such session; `tuibench sessions list` shows what there is") from None
    except OSError as error:
        raise SessionError(f"{path}: cannot be read: {error.strerror}") from error


def _header(path: Path, head: str) -> SessionHeader:
    try:
        raw = tomllib.loads(head)
    except tomllib.TOMLDecodeError as error:
        raise SessionError(f"{path}: no valid TOML at its top: {error}") from error
    version = raw.get("schema_version")
    if not isinstance(version, int):
        raise SessionError(f"{path}: no tuibench session: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise SessionError(f"{path}: written by a newer tuibench (schema {version}); update tuibench to read it")
    try:
        return msgspec.convert(raw, SessionHeader)
    except msgspec.ValidationError as error:
        raise SessionError(f"{path}: its header is incomplete or damaged: {error}") from error


def _records(raw: dict[str, Any]) -> list[TrialRecord]:
    records = msgspec.convert(raw.get("trials", []), list[TrialRecord])
    for record in records:
        if record.finished.tzinfo is None:
            raise msgspec.ValidationError("`finished` has no time zone")
    return records
