"""Getting a model onto this disk; `python -m tuibench.models.origin.pull NAME` tells its progress as JSON lines."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Iterable

from tuibench import paths
from tuibench.models.cache import find_cached, open_staging, place, pull_lock
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.origin.fetch import Source, sources_of
from tuibench.models.origin.pull_events import OnProgress, Pulled, PullEvent, PullFailed, PullProgress, encode
from tuibench.models.origin.sources import find_model

_MIN_REPORT_GAP_S = 0.1
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


def pull_model(name: str, on_progress: OnProgress = lambda _: None) -> LocalModel:
    """Return a model, fetched if this disk lacks it; blocks for as long as that takes.

    Args:
        name: As for `find_model`.
        on_progress: Called from this thread and others.

    Raises:
        ModelError: It cannot be had; the message lists what was tried.
    """
    found = find_model(name)
    if found is not None:
        return found
    return pull_from(*sources_of(name), on_progress)


def pull_from(name: str, sources: Iterable[Source], on_progress: OnProgress) -> LocalModel:
    """Return the cached model `name`, fetched from the first source that has it.

    Any number of processes may do so at once: one fetches, the others wait and find it. One that dies half-way leaves
    no model, and what it had downloaded is used by the next.

    Raises:
        ModelError: No source has it, or the disk does not take it.
    """

    def say_waiting() -> None:
        on_progress(PullProgress("waiting for another pull of this model", 0, None, "steps"))

    try:
        with pull_lock(name, say_waiting):
            return find_cached(name) or _fetch(name, sources, on_progress)
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            raise
        raise ModelError(
            f"{name} cannot be stored in {paths.models_dir()}: {error.strerror}; "
            "make room there or set TUIBENCH_CACHE to another folder"
        ) from error


def _fetch(name: str, sources: Iterable[Source], on_progress: OnProgress) -> LocalModel:
    tried: list[str] = []
    for source in sources:
        staging = open_staging(name)
        try:
            origin = source.fetch(staging, on_progress)
            on_progress(PullProgress("storing", 0, None, "steps"))
            return place(name, staging, origin)
        except ModelError as error:
            tried.append(f"{source.title}: {error}")
    remedy = "; --model also takes a folder with safetensors or a .gguf file" if len(tried) > 1 else ""
    raise ModelError(f"{name} is not on this disk and cannot be had from {', nor from '.join(tried)}{remedy}")


def main() -> int:
    """Pull the model that the first argument names, and say how it went."""
    events = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not get between the events
    _end_with_parent()
    send = _Reporter(events)
    try:
        model = pull_model(sys.argv[1], send.progress)
    except ModelError as error:
        send(PullFailed(str(error)))
        return 1
    send(Pulled(model.name))
    return 0


class _Reporter:
    """Writes events, progress not more often than anybody could see."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._last_label = ""
        self._last_s = 0.0

    def __call__(self, event: PullEvent) -> None:
        with self._lock:
            os.write(self._descriptor, encode(event))

    def progress(self, progress: PullProgress) -> None:
        now_s = time.monotonic()
        is_news = progress.label != self._last_label or progress.done == progress.total
        if is_news or now_s - self._last_s >= _MIN_REPORT_GAP_S:
            self._last_label, self._last_s = progress.label, now_s
            self(progress)


def _end_with_parent() -> None:
    """End this process when its standard input, a pipe that the parent never writes to, is closed."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
