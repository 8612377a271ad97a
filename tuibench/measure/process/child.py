"""The process that a worker runs in: a child of this one, or something that stands for one elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from tuibench.core.run.events import FailureKind, Phase
from tuibench.measure.process.event_pipe import EventPipe
from tuibench.measure.process.failure import WorkerFailureError, explain_exit, log_tail, oom_kill_count


class Child(Protocol):
    """A process with lines in and lines out, whose other output goes to a log."""

    @property
    def pid(self) -> int | None:
        """Its process id; None where it runs on another machine."""
        ...

    @property
    def log_bytes(self) -> int:
        """How much it has written to its log so far."""
        ...

    def send(self, line: bytes) -> None:
        """Send a line without waiting until it is read."""
        ...

    def close_input(self) -> None:
        """Close its standard input, which a worker takes as the order to end."""
        ...

    async def read(self) -> bytes:
        """Wait until something has come and return it; empty at the end."""
        ...

    def read_waiting(self) -> bytes | None:
        """Return what has come already, as `read` does; None if nothing has."""
        ...

    async def explain_exit(self, phase: Phase, within_s: float) -> tuple[FailureKind, str]:
        """Return why there is nothing more to read, given what was going on."""
        ...

    async def terminate(self, within_s: float) -> None:
        """Ask it to end, and kill it with all that it has started if it has not by then."""
        ...

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        ...

    async def end(self) -> None:
        """Wait for the end of a process that was told to end, and let go of its pipes."""
        ...


class LocalChild:
    """A child of this process."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: EventPipe, log: Path, oom_kills: int) -> None:
        """Take over a process; use `start`."""
        self._process = process
        self._pipe = pipe
        self._log = log
        self._oom_kills = oom_kills

    @classmethod
    async def start(cls, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Self:
        """Start a process; `terminate` and `end` must follow, whatever happens.

        Args:
            command: A launcher prefix may stand before the interpreter.
            log: Where its other output goes; overwritten.
            environment: Variables beside those of this process.

        Raises:
            WorkerFailureError: It could not be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        oom_kills = oom_kill_count()
        pipe = EventPipe()
        try:
            with log.open("wb") as log_file:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=pipe.writing,
                    stderr=log_file,
                    env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,  # Ctrl+C in the terminal is ours to handle, and its children die with it
                )
        except OSError as error:
            pipe.close()
            message = f"the worker could not be started: {error.strerror}: {error.filename}"
            raise WorkerFailureError(FailureKind.ERROR, message) from error
        finally:
            pipe.handed_over()
        return cls(process, pipe, log, oom_kills)

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        return self._process.pid

    @property
    def log_bytes(self) -> int:
        """How much it has written to its log so far."""
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def send(self, line: bytes) -> None:
        """Send a line without waiting until it is read."""
        if self._process.stdin is not None:
            self._process.stdin.write(line)

    def close_input(self) -> None:
        """Close its standard input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def read(self) -> bytes:
        """Wait until something has come and return it; empty at the end."""
        return await self._pipe.read()

    def read_waiting(self) -> bytes | None:
        """Return what has come already; None if nothing has."""
        return self._pipe.read_waiting()

    async def explain_exit(self, phase: Phase, within_s: float) -> tuple[FailureKind, str]:
        """Return why its pipe ended: the process died, unless it only closed the pipe."""
        returncode, oom_kills = await self.exit(within_s)
        return explain_exit(returncode, phase, oom_kills)

    async def exit(self, within_s: float) -> tuple[int | None, int]:
        """Return its exit code, None if it has none yet, and how many processes were killed here for want of memory."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), within_s)
        return self._process.returncode, oom_kill_count() - self._oom_kills

    async def terminate(self, within_s: float) -> None:
        """Send SIGTERM, then SIGKILL, each to its whole group."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), within_s)
        # Also when the process itself is gone: a child of its own may be left in its group.
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        return log_tail(self._log)

    async def end(self) -> None:
        """Wait for its end, and close its pipe."""
        await self._process.wait()
        self._pipe.close()
