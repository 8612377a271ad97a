"""A worker on another machine, as a process that can be talked to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from tuibench.core.run.events import FailureKind, Phase
from tuibench.measure.hosts.frames import CloseInput, EndWorker, ToHost, WorkerOver
from tuibench.measure.process.failure import explain_exit

_MARGIN_S = 5.0
"""What a message there, SIGKILL and the answer may take beside the time that the worker is given."""


class FarChild:
    """Ends with a word from the other end, or with the connection."""

    pid = None
    log_bytes = 0
    """The other end looks after it."""

    def __init__(self, channel: int, tell: Callable[[ToHost], None], write: Callable[[bytes], None]) -> None:
        """Say how to reach it.

        Args:
            channel: Its number on the connection.
            tell: Sends a message to what started it.
            write: Sends it a line.
        """
        self._channel = channel
        self._tell = tell
        self._write = write
        self._waiting = bytearray()
        self._came = asyncio.Event()
        self._over = asyncio.Event()
        self._ended = WorkerOver(channel=channel)
        self._lost: str | None = None

    def feed(self, content: bytes) -> None:
        """Take what it wrote."""
        self._waiting += content
        self._came.set()

    def over(self, ended: WorkerOver) -> None:
        """Note its end."""
        self._ended = ended
        self._over.set()
        self._came.set()

    def lose(self, why: str) -> None:
        """Note the end of the connection; it ends there by itself."""
        self._lost = why
        self._over.set()
        self._came.set()

    def send(self, line: bytes) -> None:
        """Send a line."""
        self._write(line)

    def close_input(self) -> None:
        """Close its standard input."""
        self._tell(CloseInput(channel=self._channel))

    async def read(self) -> bytes:
        """Wait until something has come and return it; empty at the end."""
        while (content := self.read_waiting()) is None:
            self._came.clear()
            await self._came.wait()
        return content

    def read_waiting(self) -> bytes | None:
        """Return what has come already; None if nothing has."""
        if not self._waiting:
            return b"" if self._over.is_set() else None
        content = bytes(self._waiting)
        self._waiting.clear()
        return content

    async def explain_exit(self, phase: Phase, within_s: float) -> tuple[FailureKind, str]:
        """Return why nothing more will come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), within_s)
        if self._lost is not None:
            return FailureKind.DISCONNECTED, f"{self._lost}, during {phase}"
        if self._ended.refused is not None:
            return FailureKind.ERROR, self._ended.refused
        return explain_exit(self._ended.returncode, phase, self._ended.oom_kills)

    async def terminate(self, within_s: float) -> None:
        """Have it ended by what started it."""
        if self._over.is_set():
            return
        self._tell(EndWorker(channel=self._channel, within_s=within_s))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), within_s + _MARGIN_S)

    def log_tail(self) -> str:
        """Return the last lines of its log, where they came."""
        return self._ended.log_tail

    async def end(self) -> None:
        """Nothing is held here."""
