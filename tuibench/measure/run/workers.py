"""The workers of a run: one a method, their start and their end, and what the user called off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tuibench.core.run.control import method_of
from tuibench.core.run.events import PROTOCOL_VERSION, EngineReady, Event, FailureKind, Phase
from tuibench.core.run.spec import LoadRequest, RunSpec
from tuibench.measure.hosts.host import MeasuringHost
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.supervisor import WorkerProcess
from tuibench.measure.process.time_limits import TimeLimits

Observe = Callable[[Event], None]


class Workers:
    """Each method has a process of its own; those that take turns are at hand together.

    `stop` and `skip` may come at any moment. They are remembered: what was called off while no process ran, or while
    its last events were already on their way, does not begin again.
    """

    def __init__(self, spec: RunSpec, model_dir: Path, log_name: str, limits: TimeLimits, host: MeasuringHost) -> None:
        """Say how to start a worker; none starts yet.

        Args:
            spec: The run that its workers serve.
            model_dir: The model's folder on the host.
            log_name: What the names of the workers' logs begin with.
            limits: Time-outs.
            host: Where they run.
        """
        self._spec = spec
        self._model_dir = model_dir
        self._log_name = log_name
        self._limits = limits
        self.host = host
        self.n_threads = spec.n_threads
        """Of workers that start from here on."""
        self._serving: str | None = None
        self._processes: dict[str, WorkerProcess] = {}
        """By method, in the order in which they started."""
        self._ready: dict[str, EngineReady] = {}
        self._skipped: set[str] = set()
        self._stopped = False

    @property
    def latest(self) -> str | None:
        """The method whose process started last, of those at hand."""
        return next(reversed(self._processes), None)

    def ready(self, method: str) -> EngineReady | None:
        """Return what the method's process said when its model was loaded; None if there is no such process."""
        return self._ready.get(method)

    def stop(self) -> None:
        """End all processes, and let none begin again."""
        self._stopped = True
        for process in self._processes.values():
            process.interrupt(FailureKind.CANCELLED)

    def skip(self, method: str | None = None) -> None:
        """End a method's process, and let none of it begin again.

        Args:
            method: By default the one that was served last.
        """
        method = method or self._serving
        if method is None:
            return
        self._skipped.add(method)
        if (process := self._processes.get(method)) is not None:
            process.interrupt(FailureKind.SKIPPED)

    def forget_skip(self, method: str) -> None:
        """Serve a method again: it is needed for something else than what was skipped."""
        self._skipped.discard(method)

    async def loaded(
        self, method: str, observe: Observe, *, anew: bool = False, beside: bool = False, streamed: bool = False
    ) -> WorkerProcess:
        """Return the method's process with its model loaded: the one at hand, or a new one.

        Args:
            method: From here on the one that `skip` means.
            observe: Told what a new process reports until it is ready.
            anew: Whether the method's process at hand ends first.
            beside: Whether the processes of other methods stay at hand; else they end first.
            streamed: Whether a new process of the reference reads its weights layer by layer.

        Raises:
            WorkerFailureError: There is none to be had, or it was called off.
        """
        self._serving = method
        if anew:
            await self.end(method)
        for other in [] if beside else [name for name in self._processes if name != method]:
            await self.end(other)
        self._check(method)
        process = self._processes.get(method) or await self._start(method, streamed=streamed)
        if method not in self._ready:
            async for event in process.ready():
                observe(event)
                if isinstance(event, EngineReady):
                    self._ready[method] = event
        return process

    def serve(self, method: str) -> None:
        """Take a method's process that is at hand into use: from here on it is the one that `skip` means.

        Raises:
            WorkerFailureError: It was called off.
        """
        self._serving = method
        self._check(method)

    def _check(self, method: str) -> None:
        if (kind := self._called_off(method)) is not None:
            phase = Phase.IDLE if method in self._processes else Phase.START
            raise WorkerFailureError(kind, f"{kind} before it began", phase)

    async def end(self, method: str | None = None) -> None:
        """End a method's process, if there is one; without a method, all."""
        for name in list(self._processes) if method is None else [method]:
            self._ready.pop(name, None)
            if (process := self._processes.pop(name, None)) is not None:
                await process.end()

    def _called_off(self, method: str) -> FailureKind | None:
        if self._stopped:
            return FailureKind.CANCELLED
        return FailureKind.SKIPPED if method in self._skipped else None

    async def _start(self, method: str, *, streamed: bool) -> WorkerProcess:
        load = LoadRequest(
            protocol=PROTOCOL_VERSION,
            method=method,
            model_dir=str(self._model_dir),
            n_threads=self.n_threads,
            calibration=await self.host.calibration(self._spec.calibration),
            several_users=self._spec.sweep is not None and max(self._spec.sweep.n_users) > 1,
            endpoint=next((each for each in self._spec.endpoints if each.method == method_of(method)), None),
            streamed=streamed,
        )
        log_name = f"{self._log_name}.{method}.log"
        process = self._processes[method] = await self.host.start(load, log_name, self._limits)
        if (kind := self._called_off(method)) is not None:  # while it started
            process.interrupt(kind)
        return process
