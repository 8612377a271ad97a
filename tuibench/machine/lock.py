"""One measurement at a time on a machine, whoever starts it: two would measure each other.

The lock file lies in a folder that everybody may write to. It is opened for reading only, which is enough to lock what
another user made, and without following links, which anybody may have put there.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tuibench import paths
from tuibench.machine.fingerprint import container

_POLL_S = 0.5
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def somebody_measures(path: Path) -> bool:
    """Return whether the lock is held at the moment; False where it cannot be asked."""
    try:
        descriptor = os.open(path, _READ)
    except OSError:
        return False
    try:
        return not _taken(descriptor, fcntl.LOCK_SH)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def unseen_measurements() -> str | None:
    """Return whose measurements the lock cannot tell of, and what would change that; None where it tells of all."""
    if paths.lock_is_chosen():
        return None
    if (kind := container()) is not None:
        whose, remedy = f"outside of this container ({kind})", "mount a folder that all share"
    elif paths.measurement_lock().is_relative_to(paths.cache_dir()):
        whose, remedy = "of other users", "make a folder that all may write to (mode 1777)"
    else:
        return None
    return f"measurements {whose} are not noticed: {remedy}, and name a file in it in TUIBENCH_LOCK"


@asynccontextmanager
async def measuring(
    path: Path,
    on_wait: Callable[[], None],
    give_up: Callable[[], bool] = lambda: False,
    on_alone: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Hold the machine's measurement lock; the kernel frees it when its owner dies.

    Args:
        path: The lock file.
        on_wait: Called once if somebody else holds the lock.
        give_up: Asked while waiting; when it says yes, the body runs without the lock and must not measure.
        on_alone: Told why the file cannot be locked, where it cannot; the body runs all the same.
    """
    lock = _Lock(path)
    try:
        if not lock.take():
            on_wait()
            while not give_up():
                await asyncio.sleep(_POLL_S)
                if lock.take():
                    break
    except OSError as error:
        on_alone(f"{path}: cannot be locked ({error.strerror}): other measurements on this machine are not noticed")
    try:
        yield
    finally:
        lock.release()


class _Lock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Return whether the lock is ours now.

        Raises:
            OSError: The file cannot be opened, or is not a file that can be locked.
        """
        while True:
            if self._descriptor is None:
                self._descriptor = _opened(self._path)
            if not _taken(self._descriptor, fcntl.LOCK_EX):
                return False
            if _is_file_at(self._path, self._descriptor):
                return True
            self.release()  # removed since it was opened: others lock another file by now

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _opened(path: Path) -> int:
    """Return the lock file, made if there is none, for all users to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            descriptor = os.open(path, _READ)
            break
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, _READ | os.O_CREAT | os.O_EXCL, 0o644)
            os.fchmod(descriptor, 0o644)  # whatever the umask takes away
            break
        except FileExistsError:
            continue  # somebody else has made it just now
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
