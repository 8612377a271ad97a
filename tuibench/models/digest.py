"""SHA-256 of large files, remembered until a file changes."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tuibench import paths

MEMO_NAME = "tuibench-digest.json"
_CHUNK_BYTES = 1 << 20


class _Stamp(msgspec.Struct, frozen=True):
    """What tells a changed file from an unchanged one without reading it."""

    name: str
    n_bytes: int
    mtime_ns: int


class _Memo(msgspec.Struct, frozen=True):
    files: list[_Stamp]
    sha256: str


def sha256(files: Sequence[Path], on_bytes: Callable[[int], None] = lambda _: None) -> str:
    """Return the SHA-256 of the files' content one after the other, as `cat FILES | sha256sum` prints it.

    Args:
        files: Read in the order given.
        on_bytes: Called with the number of bytes read so far.
    """
    state = hashlib.sha256()
    done = 0
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                state.update(chunk)
                done += len(chunk)
                on_bytes(done)
    return state.hexdigest()


def remembered_sha256(files: Sequence[Path]) -> str:
    """Return `sha256(files)`, read again only when a name, size or time of change differs from the last time."""
    stamps = [_stamp(path) for path in files]
    memo_path = _memo_path(files)
    memo = _read_memo(memo_path)
    if memo is not None and memo.files == stamps:
        return memo.sha256
    digest = sha256(files)
    _write_memo(memo_path, _Memo(stamps, digest))
    return digest


def _memo_path(files: Sequence[Path]) -> Path:
    """Return a place beside the files if they are in our cache; a user's own folder is never written to."""
    directory = files[0].resolve().parent
    if directory.is_relative_to(paths.models_dir().resolve()):
        return directory / MEMO_NAME
    key = hashlib.sha256("\0".join(str(path.resolve()) for path in files).encode()).hexdigest()
    return paths.cache_dir() / "digests" / f"{key[:32]}.json"


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return _Stamp(path.name, status.st_size, status.st_mtime_ns)


def _read_memo(path: Path) -> _Memo | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Memo)
    except (OSError, msgspec.DecodeError):
        return None  # only a saving of time


def _write_memo(path: Path, memo: _Memo) -> None:
    with contextlib.suppress(OSError):  # a read-only or full cache only costs the time again
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_bytes(msgspec.json.encode(memo))
        partial.replace(path)
