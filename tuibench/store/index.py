"""A file that remembers what was read of many others, for as long as they stay as they were.

Reading what a list shows of a session takes 2 ms; a list of ten thousand must not take twenty seconds. The index
is a cache: it may be deleted at any time, and one that cannot be read or written is as good as none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec

from tuibench.core.format import as_text

T = TypeVar("T")
_VERSION = 4
"""To be raised when what is remembered of the same file changes."""


class Facts(NamedTuple):
    """What tells whether a file is as it was: a copy may have brought its time of modification with it."""

    changed_ns: int
    """When its content was last changed; with the next one since the epoch."""
    touched_ns: int
    """When its content, name, owner or mode was last changed (ctime), which nobody can set."""
    size_bytes: int


class SessionIndex(Generic[T]):
    """What is known of each file, by its path, for as long as its facts stay the same."""

    def __init__(self, path: Path | None, known: type[T]) -> None:
        """Read the index.

        Args:
            path: Its file; None to remember nothing.
            known: What is remembered of a file: a dataclass or struct.
        """
        self._path = path
        self._format: Any = tuple[int, dict[str, tuple[Facts, known]]]  # type: ignore[valid-type] # an argument
        self._entries: dict[str, tuple[Facts, T]] = self._read()
        self._changed = False

    def _read(self) -> dict[str, tuple[Facts, T]]:
        if self._path is None:
            return {}
        with contextlib.suppress(OSError):
            version, entries = from_json(self._path.read_bytes(), self._format) or (None, {})
            if version == _VERSION:
                return cast("dict[str, tuple[Facts, T]]", entries)
        return {}

    def get(self, path: str, facts: Facts) -> T | None:
        """Return what is known of a file; None if nothing is, or it has changed."""
        entry = self._entries.get(path)
        return entry[1] if entry is not None and entry[0] == facts else None

    def put(self, path: str, facts: Facts, known: T) -> T:
        """Remember something of a file, and return it."""
        self._entries[path] = facts, known
        self._changed = True
        return known

    def save(self, keep: AbstractSet[str]) -> None:
        """Write the index if it has changed, without the files of the folders of `keep` that are not among it."""
        if self._path is None or not self._changed:
            return
        folders = {_folder(path) for path in keep}
        entries = {
            name: entry
            for name, entry in self._entries.items()
            if (name in keep or _folder(name) not in folders) and name == as_text(name)  # JSON holds no other
        }
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_bytes(to_json((_VERSION, entries)))
            temporary.replace(self._path)


def to_json(value: object) -> bytes:
    """Return what is known of files as `from_json` reads it.

    Raises:
        UnicodeEncodeError: A name is no Unicode.
    """
    return msgspec.json.encode(value, enc_hook=str)


def from_json(content: bytes, kind: Any) -> Any:  # noqa: ANN401 - any kind, given as msgspec takes it
    """Return what was written; None if it is anything else."""
    try:
        return msgspec.json.decode(content, type=kind, dec_hook=_as_path)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _as_path(type_: type, value: Any) -> Any:  # noqa: ANN401 - msgspec's signature
    if type_ is Path:
        return Path(value)
    raise NotImplementedError(type_)
