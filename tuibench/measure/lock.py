"""One measurement at a time on a machine: two would measure each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_POLL_S = 0.5


def somebody_measures(path: Path) -> bool:
    """Return whether the lock is held at the moment."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


@asynccontextmanager
async def measuring(
    path: Path, on_wait: Callable[[], None], give_up: Callable[[], bool] = lambda: False
) -> AsyncIterator[None]:
    """Hold the machine's measurement lock; the kernel frees it when its owner dies.

    Args:
        path: The lock file.
        on_wait: Called once if somebody else holds the lock.
        give_up: Asked while waiting; when it says yes, the body runs without the lock and must not measure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        while not lock.is_locked and not give_up():
            await asyncio.sleep(_POLL_S)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
    try:
        yield
    finally:
        lock.release()
