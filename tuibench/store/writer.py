"""Writing a session: a header once, then one table after every trial, on the disk before the next trial starts."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Self

import msgspec

from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.store.append import append, create
from tuibench.store.schema import HostRecord, Resumption, SecondReading, Session, SessionHeader
from tuibench.store.session import read, session_from
from tuibench.store.toml_text import array_table, toml_text
from tuibench.store.under_way import Claim

_TABLES: dict[type[msgspec.Struct], str] = {
    TrialRecord: "trials",
    QualityRecord: "quality",
    SecondReading: "bandwidth",
    HostRecord: "hosts",
}


class SessionWriter:
    """Appends to one session file. Every record is on the disk when `append` returns, or stays pending."""

    def __init__(self, path: Path, header: SessionHeader) -> None:
        """Choose the file; it is created with the first record, so that a run without any leaves nothing behind.

        Args:
            path: The new file; its folder is made.
            header: Written once, at its top.
        """
        self.path = path
        self.header = header
        """May be replaced until the file exists."""
        self._pending: list[str] = []
        self._resumption: Resumption | None = None
        self.created = False
        """Whether the file was made."""
        self._claim: Claim | None = None
        self._renewed = False

    @classmethod
    def reopen(cls, path: Path, header: SessionHeader, resumption: Resumption) -> Self:
        """Go on with a file; that it goes on is written with the first record.

        Args:
            path: The file; it ends with a whole table.
            header: What it begins with.
            resumption: What is said about going on.
        """
        writer = cls(path, header)
        writer.created = True
        writer._claim = Claim(path)
        writer._resumption = resumption
        return writer

    def append(self, record: TrialRecord | QualityRecord | SecondReading | HostRecord) -> None:
        """Write one record and wait until the disk has it.

        Raises:
            OSError: It could not be written. It is kept, and written with the next one or by `flush`.
        """
        if self._resumption is not None:
            self._pending.append(array_table("resumed", _as_table(self._resumption)))
            self._resumption = None
        self._pending.append(array_table(_TABLES[type(record)], _as_table(record)))
        self.flush()

    def flush(self) -> None:
        """Write what is pending; where somebody has removed the file meanwhile, into a new one of its name.

        Raises:
            OSError: It could not be written, and is still pending.
        """
        if not self._pending:
            return
        if not self.created or not self.path.exists():
            create(self.path, toml_text(_as_table(self.header)))
            self._renewed |= self.created
            self.created = True
            self._claim = self._claim or Claim(self.path)
        append(self.path, self._unwritten())
        self._pending.clear()

    def close(self) -> None:
        """Say that nobody measures this session any more."""
        if self._claim is not None:
            self._claim.give_up()

    def renewed(self) -> bool:
        """Return whether the file was gone and was begun anew since the last call."""
        renewed, self._renewed = self._renewed, False
        return renewed

    def session(self) -> Session:
        """Return the session with what is still pending.

        Raises:
            SessionError: The file cannot be read.
        """
        written = read(self.path) if self.created else toml_text(_as_table(self.header)).encode()
        return session_from(written + self._unwritten().encode(), self.path)

    def _unwritten(self) -> str:
        return "".join(f"\n{table}" for table in self._pending)

    @property
    def n_pending(self) -> int:
        """Tables that could not be written so far."""
        return len(self._pending)


def _as_table(value: msgspec.Struct) -> dict[str, object]:
    table: dict[str, object] = msgspec.to_builtins(value, builtin_types=(datetime, date))
    return table
