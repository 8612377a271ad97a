"""Writing a session: a header once, then one table after every trial, on the disk before the next trial starts."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import msgspec

from tuibench.core.record import TrialRecord
from tuibench.store.schema import SessionHeader
from tuibench.store.toml_text import array_table, toml_text


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
        self.created = False
        """Whether the file exists."""

    def append(self, record: TrialRecord) -> None:
        """Write one record and wait until the disk has it.

        Raises:
            OSError: It could not be written. It is kept, and written with the next one or by `flush`.
        """
        self._pending.append(array_table("trials", _as_table(record)))
        self.flush()

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            OSError: It could not be written, and is still pending.
        """
        if not self._pending:
            return
        if not self.created:
            self._create()
        text = "".join(f"\n{table}" for table in self._pending)
        with self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            try:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)  # half a record would hide behind the next one
                raise
        self._pending.clear()

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = toml_text(_as_table(self.header))
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, self.path)  # unlike a rename, it fails if the name is taken
        temporary.unlink()
        self.created = True


def _as_table(value: msgspec.Struct) -> dict[str, object]:
    table: dict[str, object] = msgspec.to_builtins(value, builtin_types=(datetime,))
    return table
