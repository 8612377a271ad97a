"""A program in a pseudo-terminal whose output is stamped as it arrives: what a person at the other end would see."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping

import pexpect

TUIBENCH = [sys.executable, "-m", "tuibench"]


class Terminal:
    """A running program, its keyboard and everything it has written."""

    def __init__(
        self,
        command: list[str],
        *,
        width: int = 120,
        height: int = 40,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        """Start the program; `TERM` is what tmux gives."""
        environment = {**os.environ, "TERM": "tmux-256color", "LC_ALL": "C.UTF-8", **(env or {})}
        self.started_s = time.perf_counter()
        self.child = pexpect.spawn(command[0], command[1:], dimensions=(height, width), env=environment, cwd=cwd)
        self.child.delaybeforesend = None
        self.n_bytes = 0
        self._chunks: list[tuple[float, bytes]] = []
        self._arrived = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self.child.child_fd, 1 << 16)
            except OSError:
                return
            now_s = time.perf_counter()
            with self._arrived:
                self.n_bytes += len(chunk)
                self._chunks.append((now_s, chunk))
                self._arrived.notify_all()

    def send(self, keys: str) -> float:
        """Press keys; return when."""
        sent_s = time.perf_counter()
        os.write(self.child.child_fd, keys.encode())
        return sent_s

    def mark(self) -> int:
        """Return a place in the output, for `wait_for`."""
        with self._arrived:
            return len(self._chunks)

    def wait_for(self, text: str, since: int = 0, timeout_s: float = 240) -> float:
        """Wait until the output after a mark holds the text; return when its last part arrived."""
        wanted, deadline_s = text.encode(), time.perf_counter() + timeout_s
        with self._arrived:
            while True:
                seen = b""
                for stamp_s, chunk in self._chunks[since:]:
                    seen += chunk
                    if wanted in seen:
                        return stamp_s
                if not self._arrived.wait(deadline_s - time.perf_counter()):
                    raise TimeoutError(f"{text!r} did not appear within {timeout_s} s")

    def close(self) -> None:
        """End the program."""
        self.child.close(force=True)


F5, F8, CTRL_Q = "\x1b[15~", "\x1b[19~", "\x11"
