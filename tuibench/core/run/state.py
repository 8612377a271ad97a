"""The one reducer: what is known of a run after each event, live, replayed or in a test.

States are msgspec's: they are copied with every token, which takes `dataclasses.replace` four times as long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.run.events import FailureKind
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.run_events import (
    MachineDescribed,
    Noticed,
    QualityEnded,
    QualityStarted,
    RecordsRestored,
    RunEnded,
    RunEvent,
    RunStarted,
    TrialEnded,
    TrialObserved,
    TrialStarted,
    TurnsAdded,
    TurnsDropped,
)
from tuibench.core.run.shape import Shape
from tuibench.core.run.trial_state import TrialState, fold_trial


class MethodStatus(StrEnum):
    """Where a method stands in the run."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Its latest trials failed, and none is left to come."""
    SKIPPED = "skipped"
    STOPPED = "stopped"
    """The run was stopped before its trials were over."""


class MethodState(Struct, frozen=True):
    """What is known of one method of the run."""

    method: str
    n_planned: int = 0
    """Measured trials that the run means to take."""
    records: tuple[TrialRecord, ...] = ()
    """Finished trials, warm-up and failed ones included, in the order they took place, if the run keeps them."""
    n_done: int = 0
    """Measured trials over, failed ones included."""
    n_measured: int = 0
    """Those of them that figures are computed from."""
    slowest_ns: int | None = None
    """What the slowest of these took, loading included as far as it was seen."""
    failure: TrialRecord | None = None
    """The latest failed trial."""
    trial: TrialState | None = None
    """The trial under way, or the latest one, which keeps its text on the screen."""
    running: bool = False
    scoring: bool = False
    """Whether what is running is the scoring of its quality, whose progress is the trial's."""
    quality: QualityRecord | None = None
    """How far it is from FP32, or why that is not known; None before it was scored."""
    dropped: bool = False
    """Whether the trials that were still planned will not take place."""

    @property
    def measured(self) -> tuple[TrialRecord, ...]:
        """The trials that figures are computed from: no warm-up, no failure."""
        return tuple(record for record in self.records if not record.warmup and not record.failed)

    @property
    def status(self) -> MethodStatus:
        """Where the method stands."""
        if self.running:
            return MethodStatus.RUNNING
        if not self.dropped and (self.n_done < self.n_planned or not self.n_planned):
            return MethodStatus.WAITING
        match self.failure and self.failure.failure_kind:
            case FailureKind.SKIPPED:
                return MethodStatus.SKIPPED
            case FailureKind.CANCELLED:
                return MethodStatus.STOPPED
            case None:
                return MethodStatus.DONE if self.n_done >= self.n_planned else MethodStatus.STOPPED
            case _:
                return MethodStatus.FAILED


class HostState(Struct, frozen=True):
    """What is known of one machine of the run."""

    machine: MachineHeader
    n_threads: int
    price_per_hour: float | None = None


class RunState(Struct, frozen=True):
    """What is known of a whole run."""

    methods: dict[str, MethodState] = field(default_factory=dict)
    """In the order of the run. Never mutated: each state has its own."""
    machine: MachineHeader | None = None
    """None until it is told."""
    n_threads: int = 1
    shapes: tuple[Shape, ...] = ()
    """Those of a sweep, in their order; empty in a run of one shape."""
    shape: Shape | None = None
    """That of the trial that began last."""
    hosts: dict[str, HostState] = field(default_factory=dict)
    """Of other machines than this one, by name; what is known so far. Never mutated."""
    n_turns: int = 0
    scored: bool = False
    """Whether quality is measured after the trials."""
    greedy: bool = True
    """Whether tokens are the most likely ones, so that texts can be compared."""
    running: bool = False
    cancelled: bool = False
    notices: tuple[str, ...] = ()
    keeps_records: bool = True
    """Whether the methods keep their trials. Who needs only to know how far a run is can do without: they grow with
    every token, and are on the disk."""

    @property
    def current(self) -> MethodState | None:
        """The method whose trial is under way; the first of several in a replay side by side."""
        return next((method for method in self.methods.values() if method.running), None)

    @property
    def n_done(self) -> int:
        """Measured trials over, of `n_turns`."""
        return sum(method.n_done for method in self.methods.values())

    @property
    def n_measured(self) -> int:
        """Trials that figures are computed from."""
        return sum(method.n_measured for method in self.methods.values())

    @property
    def records(self) -> Iterable[TrialRecord]:
        """All finished trials, method by method."""
        return (record for method in self.methods.values() for record in method.records)


class Folded(NamedTuple):
    """An event, and what is known of the run after it."""

    event: RunEvent
    state: RunState


def fold(state: RunState, event: RunEvent) -> RunState:  # noqa: C901, PLR0911, PLR0912 - one arm per event
    """Return the run's state after `event`; `state` is left alone."""
    match event:
        case RunStarted(methods=methods, turns=turns, scored=scored, greedy=greedy):
            planned = Counter(turn.method for turn in turns)
            fresh = {method: MethodState(method, n_planned=planned[method]) for method in methods}
            shapes = tuple(dict.fromkeys(turn.shape for turn in turns if turn.shape is not None))
            return RunState(
                fresh,
                shapes=shapes,
                n_turns=len(turns),
                scored=scored,
                greedy=greedy,
                running=True,
                keeps_records=state.keeps_records,
            )
        case MachineDescribed():
            return _with_machine(state, event)
        case RecordsRestored(trials=trials, quality=quality):
            for measured_before in trials:
                state = fold(state, TrialEnded(measured_before))
            for scored_before in quality:
                state = fold(state, QualityEnded(scored_before))
            return state
        case TurnsAdded(turns=turns):
            for turn in turns:
                before = state.methods[turn.method]
                state = _with_method(state, replace(before, n_planned=before.n_planned + 1))
            return replace(state, n_turns=state.n_turns + len(turns))
        case TrialStarted(method=method, shape=shape):
            trial = TrialState(method, event.index, event.warmup, event.n_expected, shape, ready=event.ready)
            return _with_method(replace(state, shape=shape), replace(state.methods[method], trial=trial, running=True))
        case TrialObserved(method=method, event=observed):
            before = state.methods[method]
            if before.trial is None:
                return state
            return _with_method(state, replace(before, trial=fold_trial(before.trial, observed)))
        case TrialEnded(record=record):
            return _with_method(state, _after(state.methods[record.method], record, keep=state.keeps_records))
        case QualityStarted(method=method):
            return _with_method(state, replace(state.methods[method], running=True, scoring=True))
        case QualityEnded(record=record):
            before = state.methods[record.method]
            return _with_method(state, replace(before, running=False, scoring=False, quality=record))
        case TurnsDropped(method=method, n_turns=n_turns):
            before = state.methods[method]
            if n_turns is None:
                return _with_method(state, replace(before, dropped=True))
            fewer = replace(state, n_turns=state.n_turns - n_turns)
            return _with_method(fewer, replace(before, n_planned=before.n_planned - n_turns))
        case Noticed(text=text):
            return replace(state, notices=(*state.notices, text))
        case RunEnded(cancelled=cancelled):
            return replace(state, running=False, cancelled=cancelled)


def _with_machine(state: RunState, told: MachineDescribed) -> RunState:
    if told.host is None:
        return replace(state, machine=told.machine, n_threads=told.n_threads)
    host = HostState(told.machine, told.n_threads, told.price_per_hour)
    return replace(state, hosts={**state.hosts, told.host: host})


def _after(before: MethodState, record: TrialRecord, *, keep: bool) -> MethodState:
    """Return a method's state after a trial of it ended."""
    measured = not record.warmup and not record.failed
    return replace(
        before,
        running=False,
        records=(*before.records, record) if keep else (),
        n_done=before.n_done + (not record.warmup),
        n_measured=before.n_measured + measured,
        slowest_ns=max(before.slowest_ns or 0, record.duration_ns) if measured else before.slowest_ns,
        failure=record if record.failed else before.failure,
    )


def _with_method(state: RunState, method: MethodState) -> RunState:
    return replace(state, methods={**state.methods, method.method: method})
