"""Loading a session: as far as its tables are whole, with a word on what was dropped."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.resume import split_superseded
from tuibench.store.migrations import OLDEST, changes, migrate
from tuibench.store.outline import Outlines
from tuibench.store.plausible import check_header, check_quality, check_record
from tuibench.store.schema import (
    SCHEMA_VERSION,
    Annotation,
    HostRecord,
    Resumption,
    SecondReading,
    Session,
    SessionError,
    SessionHeader,
)
from tuibench.toml_input import TomlInputError, parse, read_bytes

T = TypeVar("T")

_MAX_BYTES = 256 << 20
_MAX_HEADER_BYTES = 32 << 20
"""A prompt of 4 MiB may be written in escapes."""
_MAX_TABLE_BYTES = 32 << 20
"""A trial of 200,000 tokens has some 6 MB."""
_MAX_TABLES = 500_000
_MAX_TOLD = 20
# A lone bracket is all that is left of a table cut after its first byte; what was added later stands below it.
_TABLE_START = re.compile(rb"\n(?=\[\[|\[$)", re.MULTILINE)


def load(path: Path) -> Session:
    """Load a session file up to its last whole table.

    Raises:
        SessionError: The file cannot be read, or its header is not a session header.
    """
    return session_from(read(path), path)


def load_outline(path: Path) -> Session:
    """Load a session file as `load` does, but of its trials only what a list needs: see `outline`.

    Raises:
        SessionError: The file cannot be read, or its header is not a session header.
    """
    return session_from(read(path), path, in_full=False)


def session_from(content: bytes, path: Path, *, in_full: bool = True) -> Session:
    """Return the session that a file's content is.

    Args:
        content: Up to any byte.
        path: The file, for messages.
        in_full: Read all of each trial, not only its outline, and the quality of the methods.

    Raises:
        SessionError: The header is not a session header.
    """
    end = _head_end(content)
    header = _header(path, content[: max(end, 0)])
    # An older version's tables are brought up first.
    outlines = None if in_full or changes("trials", header.schema_version) else Outlines(content)
    found = _Tables(header.schema_version)
    found.read(content, end + 1, outlines)
    counted, superseded = split_superseded(found.trials)
    return Session(
        header=found.told_of(header),
        trials=counted,
        quality=tuple(found.quality.values()),
        hosts=found.hosts,
        annotation=found.annotation,
        resumed=tuple(found.resumed),
        superseded=superseded,
        dropped=found.told(),
    )


def load_header(path: Path) -> SessionHeader:
    """Load only the top of a session file.

    Raises:
        SessionError: The file cannot be read, or its header is not a session header.
    """
    content = read(path)
    return _header(path, content[: max(_head_end(content), 0)])


def whole_bytes(path: Path) -> int:
    """Return how many bytes a session file has up to the end of its last whole table.

    Raises:
        SessionError: The file cannot be read, or its header is not a session header.
    """
    content = read(path)
    version = load_header(path).schema_version
    starts = [match.start() for match in _TABLE_START.finditer(b"\n" + content)]
    if not starts:
        return len(content)
    last = _Tables(version)
    last.add(content[starts[-1] :], line=0)
    return starts[-1] if last.dropped else len(content)


def _head_end(content: bytes) -> int:
    """Return where the line end before the first table is; -1 where that is the first line."""
    return -1 if _TABLE_START.match(b"\n" + content[:2]) else _table_end(content, 0)


def _table_end(content: bytes, start: int) -> int:
    """Return where the line end before the next table is, or the end of the file."""
    found = _TABLE_START.search(content, start)
    return found.start() if found else len(content)


@dataclass(slots=True)
class _Tables:
    """What the tables after the header say, as they are read one by one."""

    version: int
    trials: list[TrialRecord] = field(default_factory=list)
    quality: dict[str, QualityRecord] = field(default_factory=dict)
    resumed: list[Resumption] = field(default_factory=list)
    annotation: Annotation | None = None
    bandwidth: SecondReading | None = None
    hosts: dict[str, HostRecord] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def read(self, content: bytes, start: int, outlines: Outlines | None) -> None:
        """Read a file's tables, the first of which begins at `start`; damaged ones are dropped and told.

        Args:
            content: The file.
            start: In bytes.
            outlines: Where an outline of each trial is all that is wanted.
        """
        n_tables, line, counted_to = 0, 1, 0
        while start < len(content):
            n_tables += 1
            outlined = outlines.read(start) if outlines else None
            if outlined is not None and outlined.end - start <= _MAX_TABLE_BYTES:
                if outlined.trial is not None:
                    self.trials.append(outlined.trial)
                start = outlined.end
                continue
            end = _table_end(content, start) if n_tables < _MAX_TABLES else len(content)
            line += content.count(b"\n", counted_to, start)
            counted_to = start
            self.add(content[start:end], line)
            start = end + 1

    def add(self, table: bytes, line: int) -> None:
        """Read one table; a damaged one is dropped and told."""
        try:
            self._add(table)
        except (TomlInputError, msgspec.ValidationError) as error:
            self.dropped.append(f"line {line}: a table was dropped, it is damaged or cut short ({error})")

    def _add(self, table: bytes) -> None:
        if len(table) > _MAX_TABLE_BYTES:
            raise TomlInputError("larger than any trial")
        raw = parse(table.decode("utf-8", errors="replace"))
        trials = self._rows(raw, "trials", TrialRecord)
        for record in trials:
            check_record(record)
        self.trials += trials
        for quality in self._rows(raw, "quality", QualityRecord):
            check_quality(quality)
            self.quality[quality.method] = quality
        self.resumed += self._rows(raw, "resumed", Resumption)
        for reading in self._rows(raw, "bandwidth", SecondReading):
            self.bandwidth = reading
        for host in self._rows(raw, "hosts", HostRecord):
            self.hosts[host.name] = host
        for said in self._rows(raw, "annotations", Annotation):
            self.annotation = said.after(self.annotation)

    def _rows(self, raw: dict[str, Any], name: str, kind: type[T]) -> list[T]:
        if name not in raw:
            return []
        rows = msgspec.convert(raw[name], list[dict[str, Any]])
        return [msgspec.convert(migrate(name, row, self.version), kind) for row in rows]

    def told_of(self, header: SessionHeader) -> SessionHeader:
        """Return the header with what was found out later about the machine."""
        if self.bandwidth is None:
            return header
        machine = header.machine.with_second_reading(self.bandwidth.read_bytes_per_s)
        return msgspec.structs.replace(header, machine=machine)

    def told(self) -> tuple[str, ...]:
        """Return what to tell the reader of the file."""
        told = self.dropped[:_MAX_TOLD]
        if more := len(self.dropped) - len(told):
            told.append(f"{more} further tables were dropped")
        if self.version > SCHEMA_VERSION:
            told.insert(0, f"{_newer(self.version)}: shown as far as this one understands it, and not to be changed")
        return tuple(told)


def read(path: Path) -> bytes:
    """Return a session file's content.

    Raises:
        SessionError: It cannot be read, or is larger than any session.
    """
    try:
        return read_bytes(path, _MAX_BYTES)
    except TomlInputError as error:
        raise SessionError(f"{path}: {error}, so it is not a session") from error
    except (FileNotFoundError, NotADirectoryError):
        raise SessionError(f"{path}: no such session; `tuibench sessions list` shows what there is") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SessionError(f"{path}: cannot be read: {reason}") from error


def _header(path: Path, head: bytes) -> SessionHeader:
    if len(head) > _MAX_HEADER_BYTES:
        raise SessionError(f"{path}: its header is larger than any session's")
    try:
        raw = parse(head.decode("utf-8", errors="replace"))
    except TomlInputError as error:
        raise SessionError(f"{path}: not valid TOML at its top: {error}") from error
    version = raw.get("schema_version")
    if type(version) is not int or version < OLDEST:
        raise SessionError(f"{path}: not a tuibench session: it has no schema_version")
    try:
        header = msgspec.convert(migrate("header", raw, version), SessionHeader)
        check_header(header)
    except msgspec.ValidationError as error:
        if version > SCHEMA_VERSION:
            raise SessionError(f"{path}: {_newer(version)}; update tuibench to read it ({error})") from error
        raise SessionError(f"{path}: its header is incomplete or damaged: {error}") from error
    return header


def _newer(version: int) -> str:
    return f"written by a newer tuibench (schema {version}, this one writes {SCHEMA_VERSION})"
