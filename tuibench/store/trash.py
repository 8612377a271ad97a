"""Deleting a session so that it can be brought back: it waits in a folder beside the others."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tuibench.store.append import move
from tuibench.store.schema import SessionError
from tuibench.store.under_way import is_measured

FOLDER = ".trash"
KEPT_S = 30 * 86400
"""How long a deleted session can be brought back."""


def delete(path: Path) -> Path:
    """Put a session away, and return where it lies now. What has lain there for 30 days is removed for good.

    Raises:
        SessionError: It cannot be moved, or somebody measures it: what comes later would be lost.
    """
    if is_measured(path):
        raise SessionError(f"{path.name}: is being measured, perhaps by another tuibench; stop that first")
    trash = path.parent / FOLDER
    try:
        trash.mkdir(exist_ok=True)
        target = _free(trash / path.name)
        path.rename(target)
        os.utime(target)  # from here on the time of its deletion: which one is the last, which are old
    except OSError as error:
        raise SessionError(f"{path.name}: cannot be deleted: {error.strerror}") from error
    _empty(trash, older_than_s=time.time() - KEPT_S)
    return target


def deleted(folder: Path) -> list[Path]:
    """Return what was deleted from a folder, the latest first."""
    found = [(path.stat().st_mtime_ns, path) for path in (folder / FOLDER).glob("*.toml")]
    return [path for _time, path in sorted(found, reverse=True)]


def restore(path: Path) -> Path:
    """Bring a deleted session back, and return where it lies now.

    Raises:
        SessionError: Its name is taken again, or it cannot be moved.
    """
    target = path.parent.parent / path.name
    try:
        move(path, target)
    except FileExistsError:
        raise SessionError(f"{target.name}: there is a session of this name again; rename its file first") from None
    except OSError as error:
        raise SessionError(f"{target.name}: cannot be brought back: {error.strerror}") from error
    return target


def _free(path: Path) -> Path:
    """Return the path, or one with a number where a session of this name was deleted before."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def _empty(trash: Path, *, older_than_s: float) -> None:
    for path in trash.glob("*.toml"):
        if path.stat().st_mtime < older_than_s:
            path.unlink(missing_ok=True)
