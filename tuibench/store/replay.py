"""A stored session as the same events that were seen live: at once, or at recorded times."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Iterator

from tuibench.core.run.events import (
    EngineReady,
    Event,
    FinishReason,
    GuessCounts,
    Memory,
    PieceEmitted,
    PromptTokenised,
    TokenEmitted,
    TrialAccepted,
    TrialFinished,
    UserArrived,
)
from tuibench.core.run.plan import Turn
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.run_events import (
    MachineDescribed,
    QualityEnded,
    RunEnded,
    RunEvent,
    RunStarted,
    TrialEnded,
    TrialObserved,
    TrialStarted,
    TurnsDropped,
)
from tuibench.core.run.shape import Shape
from tuibench.core.run.state import RunState, fold
from tuibench.core.run.users import arrivals_ns, recorded_steps
from tuibench.store.schema import Session

_TICK_S = 0.05
"""How soon a change of speed or a pause is felt."""


def trial_events(record: TrialRecord) -> Iterator[Event]:
    """Yield what the worker reported of a trial; times count from its acceptance."""
    memory = Memory(
        peak_rss_bytes=record.peak_rss_bytes, rss_anon_bytes=record.rss_anon_bytes, rss_file_bytes=record.rss_file_bytes
    )
    yield EngineReady(
        at_ns=0,
        load_ns=record.load_ns,
        prepare_ns=record.prepare_ns,
        parameters=record.parameters,
        artifact_bytes=record.artifact_bytes,
        weight_bytes=record.weight_bytes,
        context_window=record.context_window,
        prepare_peak_bytes=record.prepare_peak_bytes,
        kv_cache=record.kv_cache,
        facts=dict(fact.split(": ", 1) for fact in record.facts if ": " in fact),
        memory=memory,
    )
    yield TrialAccepted(at_ns=0)
    if record.n_prompt is not None or record.text_only:
        yield PromptTokenised(
            at_ns=record.tokenise_ns or 0, n_prompt=record.n_prompt, text_sha256=record.prompt_text_sha256
        )
    if record.users_ttft_ns:
        yield from _of_users(record)
    at_ns = record.ttft_ns or 0
    pieces = [] if record.users_ttft_ns else record.pieces()
    for index, piece in enumerate(pieces):
        at_ns += record.step_ns[index - 1] if index else 0
        if record.text_only:
            yield PieceEmitted(at_ns=at_ns, index=index, text=piece)
        else:
            yield TokenEmitted(at_ns=at_ns, index=index, token_id=record.token_ids[index], text=piece)
    if not record.failed:
        yield TrialFinished(
            at_ns=_duration_ns(record) if record.users_ttft_ns else at_ns,
            finish_reason=record.finish_reason or FinishReason.LENGTH,
            text_tail="" if record.users_ttft_ns else record.text[sum(record.piece_chars) :],
            prefill_ns=record.prefill_ns,
            prefill_peak_bytes=record.prefill_peak_bytes,
            cpu_ns=record.worker_cpu_ns,
            n_gen=record.n_told,
            users_n_gen=record.users_n_told,
            n_cached=record.n_cached,
            server_timings=record.server_timings,
            sampling_ns=record.sampling_ns,
            guesses=_guesses(record),
            memory=memory,
        )


def _of_users(record: TrialRecord) -> Iterator[Event]:
    """Yield the steps of a trial of several users, and who came later than it began."""
    arrived = [(at_ns, user) for user, at_ns in enumerate(arrivals_ns(record)) if at_ns > 0]
    for step in recorded_steps(record):
        while arrived and arrived[0][0] <= step.at_ns:
            at_ns, user = arrived.pop(0)
            yield UserArrived(at_ns=at_ns, user=user)
        yield step


def _guesses(record: TrialRecord) -> GuessCounts | None:
    if record.n_model_steps is None or record.n_guessed is None or record.n_guessed_right is None:
        return None
    return GuessCounts(n_steps=record.n_model_steps, n_guessed=record.n_guessed, n_accepted=record.n_guessed_right)


def _started(record: TrialRecord) -> TrialStarted:
    return TrialStarted(record.method, record.index, record.warmup, n_expected=record.n_gen, shape=record.shape)


def _opening(session: Session) -> RunStarted:
    settings = session.header.settings
    measured = {trial.method for trial in session.trials}
    methods = (*settings.methods, *sorted(measured - set(settings.methods)))
    return RunStarted(
        methods, (*settings.turns(), *_added(session)), scored=bool(session.quality), greedy=settings.sampling.greedy
    )


def _added(session: Session) -> Iterator[Turn]:
    """Yield the turns that were taken beyond the plan: for a precision, or because more were asked for."""
    settings = session.header.settings
    planned = set(settings.turns())
    taken = dict.fromkeys(Turn(record.method, record.index) for record in session.trials if not record.warmup)
    return (turn for turn in taken if turn not in planned and turn.index >= settings.n_trials)


def _qualities(session: Session) -> list[QualityEnded]:
    methods = _opening(session).methods
    return [QualityEnded(record) for record in session.quality if record.method in methods]


def _machines(session: Session) -> Iterator[MachineDescribed]:
    yield MachineDescribed(session.header.machine, session.header.settings.n_threads)
    for name, host in session.hosts.items():
        yield MachineDescribed(host.machine, host.n_threads, name, host.price_per_hour)


def stored_state(session: Session, *, under_way: bool = False) -> RunState:
    """Return the state at the session's end, every trial folded.

    What is missing was stopped, unless the session is `under_way`: then it waits.

    A state keeps the events of each method's latest trial only: those of earlier ones, token by token, leave no trace
    in it and are passed over.
    """
    state = fold(RunState(), _opening(session))
    for described in _machines(session):
        state = fold(state, described)
    latest = {record.method: record for record in session.trials}
    for record in session.trials:
        state = fold(state, _started(record))
        for event in trial_events(record) if record is latest[record.method] else ():
            state = fold(state, TrialObserved(record.method, event))
        state = fold(state, TrialEnded(record))
    for ended in _qualities(session):
        state = fold(state, ended)
    for method in state.methods.values():
        if method.n_done < method.n_planned and not under_way:
            state = fold(state, TurnsDropped(method.method))
    return fold(state, RunEnded(cancelled=state.n_done < state.n_turns))


def shown_trials(session: Session) -> dict[str, TrialRecord]:
    """Return the trial of each method that a replay shows: the first measured one, else the latest failure.

    Of a sweep all are of one shape, for no other race is fair: the one under which most methods were measured, and of
    several such the first one with most users.
    """
    shown: dict[str, TrialRecord] = {}
    shape = _shown_shape(session)
    for record in session.trials:
        known = shown.get(record.method)
        if not record.failed and (record.warmup or record.shape != shape):
            continue
        if known is None or (known.failed and not record.failed):
            shown[record.method] = record
    return shown


def _shown_shape(session: Session) -> Shape | None:
    methods: dict[Shape | None, set[str]] = {}
    for record in session.trials:
        if not record.failed and not record.warmup:
            methods.setdefault(record.shape, set()).add(record.method)
    return max(methods, key=lambda shape: (len(methods[shape]), shape.n_users if shape else 1), default=None)


class Replay:
    """All methods of a session side by side, each token at its recorded time after the request."""

    def __init__(self, session: Session, speed: float = 1.0) -> None:
        """Choose the session.

        Args:
            session: What to show.
            speed: 2 is twice as fast as it was; may be changed while it plays.
        """
        self._session = session
        self._trials = shown_trials(session)
        self.speed = speed
        self.paused = False
        self.position_ns = 0
        """Recorded time since the requests."""
        self.duration_ns = max((_duration_ns(trial) for trial in self._trials.values()), default=0)

    async def events(self) -> AsyncGenerator[RunEvent]:
        """Yield the events of the whole run, waiting in between as long as the recording says."""
        for number, (at_ns, event) in enumerate(self.timed_events()):
            if number:  # the run's start needs no time
                await self._reach(at_ns)
            yield event

    def timed_events(self) -> Iterator[tuple[int, RunEvent]]:
        """Yield the events of the whole run, each with its recorded time."""
        opening = _opening(self._session)
        turns = tuple(turn for turn in opening.turns if turn.index == 0)
        yield 0, RunStarted(opening.methods, turns, greedy=opening.greedy)
        yield from ((0, described) for described in _machines(self._session))
        streams = [self._stream(record) for record in self._trials.values()]
        for at_ns, _, event in heapq.merge(*streams):
            yield at_ns, event
        for ended in _qualities(self._session):
            yield self.duration_ns, ended
        yield self.duration_ns, RunEnded()

    def _stream(self, record: TrialRecord) -> Iterator[tuple[int, str, RunEvent]]:
        """Yield one method's events with their times; the method's name settles ties, so that events never compare."""
        serial = 0

        def stamped(at_ns: int, event: RunEvent) -> tuple[int, str, RunEvent]:
            nonlocal serial
            serial += 1
            return at_ns, f"{record.method} {serial:09d}", event

        yield stamped(0, _started(record))
        for event in trial_events(record):
            yield stamped(event.at_ns, TrialObserved(record.method, event))
        yield stamped(_duration_ns(record), TrialEnded(record))

    async def _reach(self, at_ns: int) -> None:
        while self.paused or self.position_ns < at_ns:
            if self.paused:
                await asyncio.sleep(_TICK_S)
                continue
            wait_s = min(_TICK_S, (at_ns - self.position_ns) / 1e9 / self.speed)
            started_s = asyncio.get_running_loop().time()
            await asyncio.sleep(wait_s)
            slept_s = asyncio.get_running_loop().time() - started_s
            self.position_ns = min(at_ns, self.position_ns + max(1, round(slept_s * self.speed * 1e9)))


def _duration_ns(record: TrialRecord) -> int:
    return (record.ttft_ns or 0) + sum(record.step_ns)
