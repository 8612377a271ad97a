"""Which session is being measured: a lock beside its file says so, which the kernel frees when its owner dies.

Not a lock on the session file itself: everybody who adds a table, a note for example, takes that one for a moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from pathlib import Path


class Claim:
    """Says that this process measures a session, until it is given up, forgotten, or the process ends."""

    def __init__(self, path: Path) -> None:
        """Claim a session; where a file system knows no locks, or takes no further file, nothing is said."""
        self._release: weakref.finalize[[Path, int], Claim] | None = None
        # Shared and read-only is enough to be seen, is possible on NFS, and keeps no disk from turning read-only.
        with contextlib.suppress(OSError):
            descriptor = os.open(_lock_file(path), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._release = weakref.finalize(self, _release, _lock_file(path), descriptor)
            self._release.atexit = False  # a child that was forked would release its parent's
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def give_up(self) -> None:
        """Say that nobody measures the session any more; more than once does no harm."""
        if self._release is not None:
            self._release()


def _release(lock: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        lock.unlink()
    os.close(descriptor)


def is_measured(path: Path) -> bool:
    """Return whether somebody measures a session at the moment, as far as the file system tells."""
    for mode in (os.O_RDWR, os.O_RDONLY):  # NFS wants the one, another user's file allows only the other
        with contextlib.suppress(OSError):
            descriptor = os.open(_lock_file(path), mode | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(descriptor)
    return False


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
