"""The worker's two pipes: requests in on standard input, events out on a private descriptor."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import threading
from collections.abc import Callable, Iterator

from tuibench.core.run.events import (
    ConditionsRead,
    Event,
    StepEmitted,
    TokenEmitted,
    TrialFinished,
    TurnBegan,
    TurnEnded,
    encode,
)
from tuibench.core.run.spec import Request, decode_request

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_TURN_GATHER_NS = 80_000_000
"""A short turn's tokens are sent with its end: it is little that a crash takes with it, and the reader sleeps."""


def claim_stdout() -> int:
    """Return a private descriptor of the event pipe, and send all other output to the log.

    The parent reads events from this process's standard output; what native libraries print there goes to standard
    error from now on, which is a log file.
    """
    events = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    return events


class EventWriter:
    """Writes events without ever waiting for the reader.

    A parent that is busy drawing, stopped or behind a slow link must not slow the decode loop: what the pipe does not
    take is kept and sent with the next event.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = bytearray()
        self._lock = threading.Lock()
        self._pushed_ns = 0
        self._in_turn = False
        self.gather_ns = 0
        """How long a token may wait for others to be sent with."""
        os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):  # a socket, or a system with smaller limits: `_pending` does the rest
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)

    def __call__(self, event: Event) -> None:
        """Send one event, or keep it for later."""
        with self._lock:
            self._pending += encode(event)
            if self._can_wait(event):
                return
            self._pushed_ns = event.at_ns
            self._push()

    def _can_wait(self, event: Event) -> bool:
        """Return whether the reader, whom each line wakes up, can do without it until another is sent."""
        match event:
            case ConditionsRead():  # it belongs to what follows
                return True
            case TokenEmitted() | StepEmitted():
                gather_ns = max(self.gather_ns, _TURN_GATHER_NS if self._in_turn else 0)
                return event.at_ns - self._pushed_ns < gather_ns
            case TurnBegan():  # goes with the first tokens: a reader that waits for the turn's end is woken up once
                self._in_turn, self._pushed_ns = True, event.at_ns
                return True
            case TurnEnded() | TrialFinished():
                self._in_turn = False
            case _:
                pass
        return False

    def _push(self) -> None:
        try:
            while self._pending:
                sent = os.write(self._descriptor, self._pending[: 1 << 16])
                del self._pending[:sent]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._pending.clear()  # nobody listens any more; the end of standard input follows

    def flush(self) -> None:
        """Wait until the reader has taken everything."""
        with self._lock:
            os.set_blocking(self._descriptor, True)
            self._push()
            os.set_blocking(self._descriptor, False)


class UnexpectedRequestError(Exception):
    """The parent asked for something out of turn, or speaks another protocol."""


class RequestReader:
    """Requests from standard input; the end of the input ends this process, whatever it is doing."""

    def __init__(self, on_end: Callable[[], None], descriptor: int = _STDIN) -> None:
        """Start reading.

        Args:
            on_end: Called in the reading thread when the parent has closed the pipe or is gone.
            descriptor: Where to read.
        """
        self._requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._on_end = on_end
        self._descriptor = descriptor
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while chunk := os.read(self._descriptor, 1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._requests.put(line)
        self._on_end()

    def __iter__(self) -> Iterator[Request]:
        """Yield requests as they come, without end."""
        while True:
            yield self.next()

    def next(self) -> Request:
        """Wait for the next request.

        Raises:
            msgspec.DecodeError: The line is not a request.
        """
        return decode_request(self._requests.get())
