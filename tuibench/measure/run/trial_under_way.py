"""One trial while it is measured: in one go, or in turns with those of other methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

from tuibench.core.run.events import Event
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.record import Failure, TrialRecord
from tuibench.core.run.run_events import TrialObserved
from tuibench.core.run.spec import TrialRequest
from tuibench.core.run.trial_state import TrialState, trial_record
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.supervisor import WorkerProcess
from tuibench.measure.run.telling import Telling
from tuibench.measure.run.watch import TrialWatch, Watch
from tuibench.measure.run.workers import Workers
from tuibench.store.redact import redact


class TrialUnderWay:
    """Call `begin`, then `go_on` until it is `over`; then there is a `record`. Failures are part of it."""

    def __init__(
        self,
        method: str,
        telling: Telling,
        workers: Workers,
        watch: Watch,
        observe: Callable[[TrialObserved], None],
        *,
        fresh: bool,
    ) -> None:
        """Say what is measured.

        Args:
            method: Whose trial was told to have started; its worker may not have.
            telling: The run's: knows the trial's state.
            workers: The run's.
            watch: The run's.
            observe: Tells the run what the worker reports.
            fresh: Whether the worker was started for it, so that load time and the model's facts are told with it.
        """
        self.method = method
        self._telling = telling
        self._workers = workers
        self._watch = watch
        self._tell_observed = observe
        self._fresh = fresh
        self._process: WorkerProcess | None = None
        self._watched: TrialWatch | None = None
        self._failure: WorkerFailureError | None = None

    @property
    def _state(self) -> TrialState:
        return self._telling.trial(self.method)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to come."""
        return self._state.finished is not None or self._failure is not None

    async def begin(self, request: TrialRequest, *, anew: bool, beside: bool = False) -> None:
        """Load the method's worker if need be, and take the first turn, or all.

        Args:
            request: Its prompt, and whether there are turns.
            anew: Whether a worker that is at hand ends first.
            beside: Whether other methods' workers stay at hand.
        """
        try:
            self._process = await self._workers.loaded(self.method, self._observe, anew=anew, beside=beside)
            self._watched = self._watch.begin()
        except WorkerFailureError as error:
            self._failure = error
            return
        await self._take(self._process.trial(request))

    async def go_on(self) -> None:
        """Take the next turn."""
        if self._process is None or self._watched is None:
            raise RuntimeError("a trial begins before it goes on")
        try:
            self._workers.serve(self.method)
        except WorkerFailureError as error:
            self._failure = error
            return
        await self._take(self._process.go_on())

    async def _take(self, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                self._observe(event)
        except WorkerFailureError as error:
            self._failure = error

    def _observe(self, event: Event) -> None:
        self._watch.hear(event)
        if self._watched is not None:
            self._watched.hear(event)
        self._tell_observed(TrialObserved(self.method, event))

    def record(self) -> TrialRecord:
        """Return what is kept of a trial that is over."""
        state, failure = self._state, self._failure
        watched, observer_cpu_ns = self._watch.give_up(), None
        if failure is None and self._watched is not None and self._process is not None:
            # A server here would be taken for a neighbour that disturbs; one elsewhere is not disturbed from here.
            if not lacks(state.method, Need.WATCHED_MACHINE):
                watched = self._watched.end(state.finished.stood_still_ns if state.finished else None)
            observer_cpu_ns = self._process.observer_cpu_ns
        return trial_record(
            state,
            fresh=self._fresh,
            observer_cpu_ns=observer_cpu_ns,
            validity=watched.reasons,
            lamp=watched.lamp,
            energy_uj=watched.energy_uj,
            failure=_shareable(failure, self._workers.host.private_words) if failure else None,
            finished=datetime.now(UTC),
        )


def _shareable(failure: WorkerFailureError, private: Mapping[str, str]) -> Failure:
    message, log_tail = redact(failure.message, private), redact(failure.log_tail, private)
    return Failure(kind=failure.kind, phase=failure.phase, message=message, log_tail=log_tail)
