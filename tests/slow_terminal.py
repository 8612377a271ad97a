"""A terminal at the end of a slow line: what is written waits in its buffers, as with SSH over a bad connection."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping

import pexpect

QUESTION = b"\x1b[6n"
_SLICE_S = 0.02
_BUFFER_BYTES = 256 << 10
"""About what the sockets and windows of an SSH connection hold; where there is a real one, little is enough here."""


class SlowTerminal:
    """Takes all that is written into a buffer, and reads it at a fixed rate; answers questions when it reads them."""

    def __init__(
        self,
        command: list[str],
        *,
        bytes_per_s: float,
        answers: bool = True,
        buffer_bytes: int = _BUFFER_BYTES,
        width: int = 120,
        height: int = 40,
        env: Mapping[str, str] | None = None,
    ) -> None:
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})}
        self.child = pexpect.spawn(command[0], command[1:], dimensions=(height, width), env=environment)
        self.child.delaybeforesend = None
        self._rate = bytes_per_s
        self._answers = answers
        self._buffer_bytes = buffer_bytes
        self._buffer: deque[int] = deque()
        self._changed = threading.Condition()
        self.seen = bytearray()
        """What the terminal has read so far."""
        self.most_waiting = 0
        """The longest that the buffer has been, in bytes."""
        for work in (self._fill, self._drain):
            threading.Thread(target=work, daemon=True).start()

    def _fill(self) -> None:
        while True:
            try:
                chunk = os.read(self.child.child_fd, 4096)
            except OSError:
                return
            with self._changed:
                self._changed.wait_for(lambda: len(self._buffer) < self._buffer_bytes)
                self._buffer.extend(chunk)
                self.most_waiting = max(self.most_waiting, len(self._buffer))

    def _drain(self) -> None:
        credit = 0.0
        while not self.child.closed:
            time.sleep(_SLICE_S)
            credit = min(credit + self._rate * _SLICE_S, self._rate)
            with self._changed:
                n_now = min(int(credit), len(self._buffer))
                credit -= n_now
                n_before = len(self.seen)
                self.seen += bytes(self._buffer.popleft() for _ in range(n_now))
                n_questions = self.seen.count(QUESTION, max(0, n_before - len(QUESTION) + 1))
                self._changed.notify_all()
            if self._answers:
                for _ in range(n_questions):
                    self.send("\x1b[1;1R")

    def send(self, keys: str) -> float:
        """Press keys; return when."""
        os.write(self.child.child_fd, keys.encode())
        return time.perf_counter()

    def mark(self) -> int:
        """Return a place in what was read, for `wait_for`."""
        with self._changed:
            return len(self.seen)

    def wait_for(self, text: str, since: int = 0, timeout_s: float = 240) -> float:
        """Wait until the terminal has read the text; return when."""
        wanted = text.encode()
        with self._changed:
            if not self._changed.wait_for(lambda: self.seen.find(wanted, since) >= 0, timeout_s):
                raise TimeoutError(f"{text!r} did not appear within {timeout_s} s")
            return time.perf_counter()

    def close(self) -> None:
        """End the program."""
        self.child.close(force=True)
