"""Many files read by several copies of this process at once: for a command whose user waits until all are read.

A copy is made by fork, within 10 ms, where a new process would spend a fifth of a second on its imports. It is for
processes without threads, since one copied with them may wait for ever for what another thread held.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tuibench.store.index import from_json, to_json

T = TypeVar("T")
_MAX_PROCESSES = 8
_WORTH_A_PROCESS = 50
"""Files: reading them takes ten times as long as making a copy."""


def read_at_once(read: Callable[[Path], T], paths: Sequence[Path], kind: type[T]) -> list[T]:
    """Return what was read of each file, in their order.

    Args:
        read: Reads one file; raises nothing.
        paths: The files.
        kind: What comes of a file: a dataclass or struct.
    """
    n_processes = max(1, min(len(os.sched_getaffinity(0)), _MAX_PROCESSES, len(paths) // _WORTH_A_PROCESS))
    found: dict[Path, T] = {}
    helpers: list[_Helper] = []
    try:
        with contextlib.suppress(OSError):  # no process or pipe to be had: what it would have read is read here
            for number in range(1, n_processes):
                helpers.append(_Helper(read, paths[number::n_processes], helpers))
        found |= {path: read(path) for path in paths[::n_processes]}
        for helper in helpers:
            found |= zip(helper.paths, helper.found(kind), strict=False)
    finally:
        for helper in helpers:
            helper.end()
    return [found[path] if path in found else read(path) for path in paths]


class _Helper:
    """A copy of this process that reads some of the files, and ends."""

    def __init__(self, read: Callable[[Path], object], paths: Sequence[Path], earlier: Sequence[_Helper]) -> None:
        self.paths = paths
        self._answer, answer = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._answer)
            os.close(answer)
            raise
        if self._pid == 0:
            # Only its parent reads it: whose parent was killed is to end, and not to wait for a reader.
            for helper in (self, *earlier):
                os.close(helper._answer)  # noqa: SLF001 - the same class
            # Nothing that the program does at its end may be done twice, whatever happens here.
            with contextlib.suppress(BaseException), os.fdopen(answer, "wb") as pipe:
                pipe.write(to_json([read(path) for path in paths]))
            os._exit(0)
        os.close(answer)

    def found(self, kind: type[T]) -> list[T]:
        """Return what it read of each of its files; nothing if it was killed, or JSON cannot hold one of the names."""
        with os.fdopen(self._answer, "rb", closefd=False) as pipe:
            return from_json(pipe.read(), list[kind]) or []  # type: ignore[valid-type] # an argument

    def end(self) -> None:
        """Leave no process behind."""
        os.close(self._answer)
        # Where SIGCHLD is ignored, as some launchers leave it, the system has reaped it already.
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
