"""One worker process: started, listened to, timed out, ended. Whatever it does becomes events or one failure."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from time import process_time_ns
from typing import Self

import msgspec

from tuibench.core.format import printable
from tuibench.core.run.events import (
    PROTOCOL_VERSION,
    EngineReady,
    Event,
    FailureKind,
    Phase,
    PhaseProgressed,
    PhaseStarted,
    PieceEmitted,
    PromptTokenised,
    QualityMeasured,
    StepEmitted,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    TurnEnded,
    WorkerFailed,
    WorkerStarted,
    decode,
)
from tuibench.core.run.spec import GoOnRequest, LoadRequest, QualityRequest, Request, TrialRequest
from tuibench.measure.process.child import Child, LocalChild
from tuibench.measure.process.failure import WorkerFailureError, explain_interruption
from tuibench.measure.process.time_limits import LOOK_S, Deadlines, TimeLimits

WORKER_COMMAND = (sys.executable, "-m", "tuibench.worker")
_MAX_LINE_BYTES = 1 << 20
_GATHER_S = 0.08
"""While tokens come, they are read so often: waking up for each of them costs more than reading it. Their times are the
worker's; nobody sees a token later than the screen is painted. In turns, for whose ends every other method waits, the
worker itself sends them together."""
_SHOWN_BYTES = 80
MAX_LOG_BYTES = 64 << 20
"""A worker that never stops writing must not fill the disk that sessions go to."""


class WorkerProcess:
    """One worker, from `start` to `end`."""

    def __init__(
        self,
        child: Child,
        load: LoadRequest,
        limits: TimeLimits,
    ) -> None:
        """Send the load request to a process that has started; `end` must follow, whatever happens."""
        self._child = child
        self._load = load
        self._terminate_s = limits.terminate_s
        self._patience = Deadlines(limits)
        self._interrupted: FailureKind | None = None
        self._killer: asyncio.Task[None] | None = None
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._n_tokens = self._max_tokens = 0
        self._in_turns = False
        self._overdue = False
        """Whether it was silent for too long before what was read last."""
        self.observer_cpu_ns: int | None = None
        """CPU time of this process between a trial's acceptance and its end, as events arrive."""
        self._send(load)

    @classmethod
    async def start(
        cls,
        load: LoadRequest,
        log: Path,
        limits: TimeLimits | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        variables: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a process of this machine and send the load request; `end` must follow, whatever happens.

        Args:
            load: The worker's first request.
            log: Where its output goes; overwritten.
            limits: Time-outs.
            command: How to start it; a launcher prefix may stand before the interpreter.
            variables: Of its environment, besides those that every worker gets.

        Raises:
            WorkerFailureError: It could not be started.
        """
        return cls(await LocalChild.start(command, log, variables), load, limits or TimeLimits())

    @property
    def method(self) -> str:
        """The method it runs."""
        return self._load.method

    @property
    def pid(self) -> int | None:
        """Its process id, which is also its process group; None where it runs on another machine."""
        return self._child.pid

    def close_input(self) -> None:
        """Close its standard input, which a worker takes as the order to end."""
        self._child.close_input()

    async def end(self) -> None:
        """End the process: standard input closes and SIGTERM follows, then SIGKILL."""
        self.close_input()
        self.interrupt(FailureKind.CANCELLED)
        if self._killer is not None:
            await self._killer
        await self._child.end()

    def interrupt(self, kind: FailureKind) -> None:
        """Make the worker end soon; whoever listens to its events gets a failure of this kind."""
        if self._killer is None:
            self._interrupted = kind
            self._killer = asyncio.create_task(self._child.terminate(self._terminate_s))

    def _send(self, request: Request) -> None:
        """Send a request without waiting until it is read: the events that must follow have their time limit."""
        self._child.send(msgspec.json.encode(request) + b"\n")

    async def ready(self) -> AsyncIterator[Event]:
        """Yield events up to `EngineReady`.

        Raises:
            WorkerFailureError: The worker will not get there.
        """
        async for event in self._events():
            yield event
            if isinstance(event, EngineReady):
                return

    async def trial(self, request: TrialRequest) -> AsyncIterator[Event]:
        """Request a trial and yield its events up to `TrialFinished`, or `TurnEnded`, after which it must `go_on`.

        Raises:
            WorkerFailureError: The worker will not get there.
        """
        self.observer_cpu_ns = None
        self._n_tokens, self._max_tokens = 0, request.max_new_tokens
        self._in_turns = request.turn_tokens is not None
        self._patience.enter(Phase.PREFILL)
        self._send(request)
        async for event in self._turn():
            yield event

    async def go_on(self) -> AsyncIterator[Event]:
        """Let a trial that waits take its next turn, and yield events as `trial` does.

        Raises:
            WorkerFailureError: The worker will not get there.
        """
        self._patience.enter(Phase.DECODE)
        cpu_start_ns = process_time_ns()
        self._send(GoOnRequest())
        async for event in self._turn(cpu_start_ns):
            yield event

    async def _turn(self, cpu_start_ns: int | None = None) -> AsyncIterator[Event]:
        async for event in self._events():
            match event:
                case TrialAccepted():
                    cpu_start_ns = process_time_ns()
                case TokenEmitted(index=index):
                    if index != self._n_tokens or index >= self._max_tokens:
                        raise await self._protocol_error(f"token number {index} is out of order")
                    self._n_tokens += 1
                case PieceEmitted(index=index) | StepEmitted(index=index):
                    if index != self._n_tokens:
                        what = "piece" if isinstance(event, PieceEmitted) else "step"
                        raise await self._protocol_error(f"{what} number {index} is out of order")
                    self._n_tokens += 1
                case TrialFinished() | TurnEnded():
                    if cpu_start_ns is not None:
                        self.observer_cpu_ns = (self.observer_cpu_ns or 0) + process_time_ns() - cpu_start_ns
                    yield event
                    return
                case _:
                    pass
            yield event

    async def quality(self, request: QualityRequest) -> AsyncIterator[Event]:
        """Have a text scored and yield events up to `QualityMeasured`.

        Raises:
            WorkerFailureError: The worker will not get there.
        """
        self._patience.enter(Phase.QUALITY)
        self._send(request)
        async for event in self._events():
            yield event
            if isinstance(event, QualityMeasured):
                return

    async def _events(self) -> AsyncIterator[Event]:
        while True:
            while not self._lines:
                await self._read()
            yield await self._checked(self._lines.popleft())

    async def _read(self) -> None:
        """Wait for more and cut it into lines."""
        if self._child.log_bytes > MAX_LOG_BYTES:
            message = f"the worker wrote more than {MAX_LOG_BYTES >> 20} MiB to its log"
            raise await self._failure(FailureKind.ERROR, message)
        if self._patience.phase is Phase.DECODE and not self._rest and not self._in_turns:
            await asyncio.sleep(_GATHER_S)
        chunk = await self._chunk()
        if not chunk:
            raise await self._gone()
        self._patience.heard()
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if max(map(len, (*lines, self._rest))) > _MAX_LINE_BYTES:
            raise await self._protocol_error(f"a line of more than {_MAX_LINE_BYTES} bytes")
        self._lines.extend(lines)

    async def _chunk(self) -> bytes:
        """Wait for what comes next; empty at the end of the pipe. What is there is read before a worker is given up."""
        while (left_s := self._patience.look()) > 0:
            self._overdue = False
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(self._child.read(), min(left_s, LOOK_S))
        chunk = None if self._overdue else self._child.read_waiting()  # who talks without getting on is not heard twice
        if chunk is None:
            raise await self._failure(*self._patience.verdict())
        self._overdue = True
        return chunk

    async def _checked(self, line: bytes) -> Event:
        try:
            event = decode(line)
        except msgspec.DecodeError:
            shown = printable(line[:_SHOWN_BYTES].decode("utf-8", errors="replace").rstrip())
            raise await self._protocol_error(f"no event: {shown}") from None
        match event:
            case WorkerStarted(protocol=protocol) if protocol != PROTOCOL_VERSION:
                raise await self._protocol_error(f"it speaks protocol {protocol}, this is {PROTOCOL_VERSION}")
            case PhaseStarted(phase=phase):
                self._patience.enter(phase)
            case EngineReady() | TrialFinished() | TurnEnded() | QualityMeasured():
                self._patience.enter(Phase.IDLE)
            case PhaseProgressed() if self._patience.phase is Phase.QUALITY:
                self._patience.enter(Phase.QUALITY)
            case PromptTokenised():
                self._patience.enter(Phase.PREFILL)
            case TokenEmitted() | StepEmitted() | PieceEmitted():
                self._patience.token()
            case WorkerFailed(kind=kind, message=message):
                raise await self._failure(kind, message)
            case _:
                pass
        return event

    async def _protocol_error(self, what: str) -> WorkerFailureError:
        return await self._failure(FailureKind.PROTOCOL, f"the worker broke the protocol: {what}")

    async def _gone(self) -> WorkerFailureError:
        """Explain the end of its events."""
        return await self._failure(*await self._child.explain_exit(self._patience.phase, self._terminate_s))

    async def _failure(self, kind: FailureKind, message: str) -> WorkerFailureError:
        """End the worker and return what to raise; an interruption that was asked for explains everything."""
        phase = self._patience.phase
        if self._interrupted is not None:
            kind, message = self._interrupted, explain_interruption(self._interrupted, phase)
        self.interrupt(kind)
        if self._killer is not None:
            await self._killer
        return WorkerFailureError(kind, message, phase, self._child.log_tail())
