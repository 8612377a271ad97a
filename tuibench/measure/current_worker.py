"""The one worker of a run: the method it serves, its start and its end, and what the user called off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tuibench import paths
from tuibench.core.events import PROTOCOL_VERSION, EngineReady, Event, FailureKind, Phase
from tuibench.core.spec import LoadRequest, RunSpec
from tuibench.measure.failure import WorkerFailureError
from tuibench.measure.supervisor import WorkerProcess
from tuibench.measure.time_limits import TimeLimits

Observe = Callable[[Event], None]


class CurrentWorker:
    """Serves one method after the other, each with a process of its own; never two at a time.

    `stop` and `skip` may come at any moment. They are remembered: what was called off while no process ran, or while
    its last events were already on their way, does not begin again.
    """

    def __init__(
        self, spec: RunSpec, model_dir: Path, log_name: str, limits: TimeLimits, command: Sequence[str]
    ) -> None:
        """Say how to start a worker; none starts yet.

        Args:
            spec: The run that its workers serve.
            model_dir: The model's folder.
            log_name: What the names of the workers' logs begin with.
            limits: Time-outs.
            command: How to start one.
        """
        self._spec = spec
        self._model_dir = model_dir
        self._log_name = log_name
        self._limits = limits
        self._command = command
        self._serving: str | None = None
        self._process: WorkerProcess | None = None
        self._ready: EngineReady | None = None
        self._skipped: set[str] = set()
        self._stopped = False

    @property
    def method(self) -> str | None:
        """The method that a process is at hand for."""
        return self._process.method if self._process is not None else None

    def ready(self, method: str) -> EngineReady | None:
        """Return what the method's process said when its model was loaded; None if there is no such process."""
        return self._ready if self.method == method else None

    def stop(self) -> None:
        """End the process, and let none begin again."""
        self._stopped = True
        if self._process is not None:
            self._process.interrupt(FailureKind.CANCELLED)

    def skip(self) -> None:
        """End the process of the method served last, and let none of that method begin again."""
        if self._serving is None:
            return
        self._skipped.add(self._serving)
        if self._process is not None and self._process.method == self._serving:
            self._process.interrupt(FailureKind.SKIPPED)

    def forget_skip(self, method: str) -> None:
        """Serve a method again: it is needed for something else than what was skipped."""
        self._skipped.discard(method)

    async def loaded(self, method: str, observe: Observe, *, anew: bool = False) -> WorkerProcess:
        """Return the method's process with its model loaded: the one at hand, or a new one.

        Args:
            method: From here on the one that `skip` means. The process of another ends first.
            observe: Told what a new process reports until it is ready.
            anew: Whether the process at hand ends first, too.

        Raises:
            WorkerFailureError: There is none to be had, or it was called off.
        """
        self._serving = method
        if anew or self.method != method:
            await self.end()
        if (kind := self._called_off(method)) is not None:
            phase = Phase.START if self._process is None else Phase.IDLE
            raise WorkerFailureError(kind, f"{kind} before it began", phase)
        process = self._process or await self._start(method)
        if self._ready is None:
            async for event in process.ready():
                observe(event)
                if isinstance(event, EngineReady):
                    self._ready = event
        return process

    async def end(self) -> None:
        """End the process, if there is one."""
        process, self._process, self._ready = self._process, None, None
        if process is not None:
            await process.end()

    def _called_off(self, method: str) -> FailureKind | None:
        if self._stopped:
            return FailureKind.CANCELLED
        return FailureKind.SKIPPED if method in self._skipped else None

    async def _start(self, method: str) -> WorkerProcess:
        load = LoadRequest(
            protocol=PROTOCOL_VERSION,
            method=method,
            model_dir=str(self._model_dir),
            n_threads=self._spec.n_threads,
            calibration=self._spec.calibration,
        )
        log = paths.logs_dir() / f"{self._log_name}.{method}.log"
        self._process = await WorkerProcess.start(load, log, self._limits, self._command)
        if (kind := self._called_off(method)) is not None:  # while it started
            self._process.interrupt(kind)
        return self._process
