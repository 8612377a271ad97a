"""PullProgress of a download that somebody else does: the bytes that appear in a folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuibench.models.cache import disk_bytes
from tuibench.models.origin.pull_events import OnProgress, PullProgress

_POLL_S = 0.25


@contextmanager
def watching(directory: Path, label: str, total: int, on_progress: OnProgress) -> Iterator[None]:
    """Report how much of `total` bytes lies in a folder, four times a second, from a thread of its own."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL_S):
            on_progress(PullProgress(label, min(disk_bytes(directory), total), total))

    on_progress(PullProgress(label, 0, total))
    thread = threading.Thread(target=watch, name="watching", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    on_progress(PullProgress(label, total, total))
