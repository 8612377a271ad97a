"""Processes that begin with torch and transformers imported: forked from one that has computed nothing.

Importing takes 5 s, and there are more than a thousand processes. A forked worker runs the worker's own `main`, with
pipes of its own; what it computes it computes alone.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuibench.core.run.events import Event, WorkerFailed, decode
from tuibench.core.run.spec import Request


class DiedError(Exception):
    """A process ended, or was ended, without its result."""


def called_in_child(function: Callable[[], Any], log: Path, limit_s: float = 300) -> Any:
    """Return what a function returns or raise what it raises, in a process of its own.

    Raises:
        DiedError: The process died, or took too long.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _log_to(log)
        try:
            outcome: tuple[bool, Any] = (True, function())
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
            traceback.print_exc()
            outcome = (False, (type(error).__name__, str(error)))
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(outcome, pipe)
        sys.stderr.flush()
        os._exit(0)
    os.close(writing)
    content = _read_until_end(child, reading, limit_s)
    if not content:
        raise DiedError("the process died")
    returned, value = pickle.loads(content)  # noqa: S301 - from our own child
    if not returned:
        raise DiedError(": ".join(value))
    return value


def _read_until_end(child: int, descriptor: int, limit_s: float) -> bytes:
    content, end_s = b"", time.monotonic() + limit_s
    try:
        while select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))[0]:
            chunk = os.read(descriptor, 1 << 20)
            if not chunk:
                return content
            content += chunk
        os.kill(child, signal.SIGKILL)
        raise DiedError(f"still busy after {limit_s:.0f} s")
    finally:
        os.close(descriptor)
        os.waitpid(child, 0)


def _log_to(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


class ForkedWorker:
    """`python -m tuibench.worker` on pipes, without the imports."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        requests, self._requests = os.pipe()
        self._events, events = os.pipe()
        self._rest = b""
        self._child = os.fork()
        if self._child == 0:
            os.setsid()
            os.close(self._requests)
            os.close(self._events)
            _log_to(log)
            os.dup2(requests, 0)
            os.dup2(events, 1)
            os.closerange(3, 256)
            os.environ.update(environment)
            from tuibench.worker.__main__ import main

            main()
            os._exit(0)
        os.close(requests)
        os.close(events)

    def ask(self, request: Request) -> None:
        """Send a request."""
        import msgspec

        os.write(self._requests, msgspec.json.encode(request) + b"\n")

    def until(self, *last: type[Event], limit_s: float = 300) -> list[Event]:
        """Return the events up to one of a kind, or to a failure.

        Raises:
            DiedError: The worker ended without a word, or took too long.
        """
        events: list[Event] = []
        end_s = time.monotonic() + limit_s
        while True:
            *lines, self._rest = self._rest.split(b"\n")
            for index, line in enumerate(lines):
                events.append(decode(line))
                if isinstance(events[-1], (*last, WorkerFailed)):
                    self._rest = b"\n".join([*lines[index + 1 :], self._rest])
                    return events
            if not select.select([self._events], [], [], max(0.0, end_s - time.monotonic()))[0]:
                raise DiedError(f"no answer after {limit_s:.0f} s")
            chunk = os.read(self._events, 1 << 20)
            if not chunk:
                raise DiedError("the worker ended without a word")
            self._rest += chunk

    def end(self) -> None:
        """Close its input and wait; kill it, and what it started, if it stays."""
        os.close(self._requests)
        os.close(self._events)
        for _ in range(200):
            if os.waitpid(self._child, os.WNOHANG)[0]:
                return
            time.sleep(0.01)
        os.killpg(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
