"""The reducer of one trial: what is known of it after each event, live, replayed or in a test, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from msgspec.structs import replace

from tuibench.core.machine.validity import Lamp
from tuibench.core.run.events import (
    ConditionsRead,
    EngineReady,
    Event,
    Heartbeat,
    MachineTold,
    Memory,
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
    TurnBegan,
    TurnEnded,
    UserArrived,
    WorkerFailed,
    WorkerStarted,
)
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.record import Failure, TrialRecord
from tuibench.core.run.shape import Shape
from tuibench.core.run.users import recorded_users


@dataclass(slots=True)
class TokenLog:
    """The tokens, or pieces of text, of one trial.

    It is appended to and shared by all its states: copying it per token would be quadratic.
    """

    at_ns: list[int] = field(default_factory=list)
    """The worker's times, less what the trial had waited for its turns before."""
    ids: list[int] = field(default_factory=list)
    """Empty where pieces of text come."""
    pieces: list[str] = field(default_factory=list)
    """Of several users, those of the first."""
    steps: list[StepEmitted] = field(default_factory=list)
    """Of a trial of several users."""

    def first(self, n: int) -> TokenLog:
        """Return a log of its own with the first `n` entries."""
        return TokenLog(self.at_ns[:n], self.ids[:n], self.pieces[:n], self.steps[:n])


class TrialState(msgspec.Struct, frozen=True):
    """What is known of a trial that is under way."""

    method: str
    index: int
    warmup: bool
    n_expected: int
    shape: Shape | None = None
    """What is asked of it in a sweep."""
    phase: Phase = Phase.START
    phase_since_ns: int | None = None
    progress: PhaseProgressed | None = None
    ready: EngineReady | None = None
    requested_ns: int | None = None
    tokenised_ns: int | None = None
    prompt: PromptTokenised | None = None
    n_gen: int = 0
    """Tokens; a piece of text whose tokens nobody counts is taken for one until the trial's end tells better."""
    n_pieces: int = 0
    """Entries of the log; as many as tokens where tokens come one by one."""
    log: TokenLog = msgspec.field(default_factory=TokenLog)
    """Only its first `n_pieces` entries belong to this state."""
    arrived_ns: tuple[int, ...] = ()
    """Of users who came later than the trial began."""
    turn_ended_ns: int | None = None
    """Since when it waits for its next turn; None while it has one."""
    waited_ns: int = 0
    """For turns, so far."""
    finished: TrialFinished | None = None
    failed: WorkerFailed | None = None
    rss_bytes: int | None = None
    last_event_ns: int | None = None

    @property
    def n_prompt(self) -> int | None:
        """Tokens of the prompt; None until they are counted."""
        if self.finished and self.finished.n_prompt is not None:
            return self.finished.n_prompt
        return self.prompt.n_prompt if self.prompt else None

    @property
    def ttft_ns(self) -> int | None:
        """Request accepted to first token's text; None before there is one."""
        if self.requested_ns is None or self.n_pieces == 0:
            return None
        return self.log.at_ns[0] - self.requested_ns

    @property
    def decode_tps(self) -> float | None:
        """Decode speed so far: gaps ÷ time from the first to the latest token; None below two tokens."""
        if min(self.n_gen, self.n_pieces) < 2:  # noqa: PLR2004 - a gap has two ends
            return None
        if not (self.log.ids or self.log.steps) and self.finished is None:  # what the pieces hold is counted at the end
            return None
        span_ns = self.log.at_ns[self.n_pieces - 1] - self.log.at_ns[0]
        return (self.n_gen - 1) * 1e9 / span_ns if span_ns > 0 else None

    def step_ns(self, start: int = 0) -> list[int]:
        """Return the gaps between consecutive tokens, or pieces of text, from gap number `start` on."""
        stamps = self.log.at_ns
        return [stamps[i + 1] - stamps[i] for i in range(start, self.n_pieces - 1)]

    @property
    def text(self) -> str:
        """All text so far; a widget that appends should take `log.pieces` instead."""
        tail = self.finished.text_tail if self.finished else ""
        return "".join(self.log.pieces[: self.n_pieces]) + tail


def fold_trial(state: TrialState, event: Event) -> TrialState:  # noqa: C901, PLR0911, PLR0912 - one arm per event
    """Return the trial's state after `event`."""
    if isinstance(event, TokenEmitted):  # the one event that comes often: one copy of the state, not two
        return _with_token(state, event)
    if isinstance(event, StepEmitted):
        return _with_step(state, event)
    state = replace(state, last_event_ns=event.at_ns)
    match event:
        case PieceEmitted():
            return _with_piece(state, event)
        case WorkerStarted() | MachineTold() | ConditionsRead():
            return state
        case PhaseStarted(phase=phase):
            return replace(state, phase=phase, phase_since_ns=event.at_ns, progress=None)
        case PhaseProgressed():
            return replace(state, progress=event)
        case EngineReady():
            return replace(state, ready=event, phase=Phase.IDLE, phase_since_ns=event.at_ns, progress=None)
        case TrialAccepted():
            return replace(state, requested_ns=event.at_ns)
        case PromptTokenised():
            return replace(
                state,
                prompt=event,
                tokenised_ns=event.at_ns,
                phase=Phase.PREFILL,
                phase_since_ns=event.at_ns,
                progress=None,
            )
        case UserArrived(at_ns=at_ns):
            return replace(state, arrived_ns=(*state.arrived_ns, at_ns - state.waited_ns))
        case TurnEnded():
            return replace(state, turn_ended_ns=event.at_ns)
        case TurnBegan():
            waited_ns = event.at_ns - state.turn_ended_ns if state.turn_ended_ns is not None else 0
            return replace(state, turn_ended_ns=None, waited_ns=state.waited_ns + waited_ns)
        case TrialFinished():
            n_gen = state.n_gen if event.n_gen is None else event.n_gen
            return replace(state, finished=event, n_gen=n_gen, phase=Phase.IDLE, phase_since_ns=event.at_ns)
        case QualityMeasured():
            return replace(state, phase=Phase.IDLE, phase_since_ns=event.at_ns, progress=None)
        case Heartbeat(rss_bytes=rss_bytes):
            return replace(state, rss_bytes=None if lacks(state.method, Need.OWN_PROCESS) else rss_bytes)
        case WorkerFailed():
            return replace(state, failed=event)


def _with_token(state: TrialState, event: TokenEmitted) -> TrialState:
    log = _own_log(state)
    log.ids.append(event.token_id)
    return _with_entry(state, log, event, event.text, 1)


def _with_step(state: TrialState, event: StepEmitted) -> TrialState:
    log = _own_log(state)
    log.steps.append(event)
    text = event.texts[event.users.index(0)] if 0 in event.users else ""
    return _with_entry(state, log, event, text, len(event.users))


def _with_piece(state: TrialState, event: PieceEmitted) -> TrialState:
    taken_for = 1 if state.n_gen < state.n_expected else 0  # some servers cut their text finer than tokens
    n_tokens = taken_for if event.n_tokens is None else event.n_tokens
    return _with_entry(state, _own_log(state), event, event.text, n_tokens)


def _own_log(state: TrialState) -> TokenLog:
    """Return a log to append to: one that has run ahead belongs to a later state, and leaves this one its own part."""
    return state.log if len(state.log.at_ns) == state.n_pieces else state.log.first(state.n_pieces)


def _with_entry(
    state: TrialState, log: TokenLog, event: TokenEmitted | StepEmitted | PieceEmitted, text: str, n_tokens: int
) -> TrialState:
    log.at_ns.append(event.at_ns - state.waited_ns)
    log.pieces.append(text)
    return replace(
        state,
        log=log,
        n_gen=state.n_gen + n_tokens,
        n_pieces=state.n_pieces + 1,
        phase=Phase.DECODE,
        phase_since_ns=state.phase_since_ns if state.n_pieces else event.at_ns,
        last_event_ns=event.at_ns,
    )


def trial_record(
    trial: TrialState,
    *,
    fresh: bool,
    observer_cpu_ns: int | None,
    validity: tuple[str, ...],
    failure: Failure | None,
    finished: datetime,
    lamp: Lamp | None = None,
    energy_uj: int | None = None,
) -> TrialRecord:
    """Return what is kept of a trial.

    Args:
        trial: Its final state.
        fresh: Whether its worker was started for it, so that load time and the model's facts are told with it.
        observer_cpu_ns: CPU time of the watching process in the timed window.
        validity: Reasons to distrust the figures, beside what the worker said of the prompt.
        failure: Why it has no result; None if it has.
        finished: Now.
        lamp: How bad the worst of those reasons is; None if conditions were not watched.
        energy_uj: What the processor packages used; None where it cannot be read.
    """
    memory, done = _memory(trial), trial.finished
    guesses = done.guesses if done else None
    ready = trial.ready if fresh else None
    kv_cache = ready.kv_cache if ready else None
    tokenise_ns = None
    counted = trial.prompt is not None and trial.prompt.n_prompt is not None
    if counted and trial.tokenised_ns is not None and trial.requested_ns is not None:
        tokenise_ns = trial.tokenised_ns - trial.requested_ns
    shape = _shape_fields(trial.shape)
    record = TrialRecord(
        method=trial.method,
        index=trial.index,
        warmup=trial.warmup,
        prompt_tokens=shape.get("prompt_tokens"),
        depth_tokens=shape.get("depth_tokens"),
        max_new_tokens=shape.get("max_new_tokens"),
        n_threads=shape.get("n_threads"),
        n_users=shape.get("n_users"),
        n_prompt=trial.n_prompt,
        prompt_text_sha256=trial.prompt.text_sha256 if trial.prompt else None,
        finish_reason=done.finish_reason if done else None,
        failure_kind=failure.kind if failure else None,
        failure_phase=failure.phase if failure else None,
        failure_message=failure.message if failure else None,
        log_tail=failure.log_tail if failure and failure.log_tail else None,
        load_ns=ready.load_ns if ready else None,
        prepare_ns=ready.prepare_ns if ready else None,
        tokenise_ns=tokenise_ns,
        prefill_ns=done.prefill_ns if done else None,
        ttft_ns=trial.ttft_ns,
        step_ns=tuple(trial.step_ns()),
        sampling_ns=done.sampling_ns if done else None,
        token_ids=tuple(trial.log.ids[: trial.n_pieces]),
        piece_chars=tuple(len(piece) for piece in trial.log.pieces[: trial.n_pieces]),
        n_told=done.n_gen if done else None,
        users_n_told=done.users_n_gen if done else (),
        n_cached=done.n_cached if done else None,
        server_timings=done.server_timings if done else (),
        text=trial.text,
        prepare_peak_bytes=ready.prepare_peak_bytes if ready else None,
        load_peak_bytes=ready.memory.peak_rss_bytes if ready else None,
        prefill_peak_bytes=done.prefill_peak_bytes if done else None,
        peak_rss_bytes=memory.peak_rss_bytes,
        rss_anon_bytes=memory.rss_anon_bytes,
        rss_file_bytes=memory.rss_file_bytes,
        artifact_bytes=ready.artifact_bytes if ready else None,
        weight_bytes=ready.weight_bytes if ready else None,
        kv_bytes_per_token=kv_cache.bytes_per_token if kv_cache else None,
        kv_sliding_bytes_per_token=(kv_cache.sliding_bytes_per_token or None) if kv_cache else None,
        kv_window=kv_cache.window if kv_cache else None,
        kv_fixed_bytes=(kv_cache.fixed_bytes or None) if kv_cache else None,
        parameters=ready.parameters if ready else None,
        context_window=ready.context_window if ready else None,
        worker_cpu_ns=done.cpu_ns if done else None,
        observer_cpu_ns=observer_cpu_ns,
        n_model_steps=guesses.n_steps if guesses else None,
        n_guessed=guesses.n_guessed if guesses else None,
        n_guessed_right=guesses.n_accepted if guesses else None,
        facts=tuple(f"{name}: {value}" for name, value in ready.facts.items()) if ready else (),
        validity=(*_told_doubts(trial), *validity),
        lamp=Lamp.RED if done and (done.n_cached or done.prompt_kept) else lamp,
        energy_uj=energy_uj,
        finished=finished,
    )
    return _with_users(record, trial) if trial.log.steps else record


def _with_users(record: TrialRecord, trial: TrialState) -> TrialRecord:
    n_steps = trial.n_pieces
    stamps, began_ns = trial.log.at_ns[:n_steps], trial.requested_ns or 0
    served = {user for step in trial.log.steps[:n_steps] for user in step.users}
    if served != set(range(len(served))):  # it failed before all had something, in no order
        return record
    return replace(record, **recorded_users(trial.log.steps[:n_steps], stamps, trial.arrived_ns, began_ns))


def _shape_fields(shape: Shape | None) -> dict[str, int | None]:
    if shape is None:
        return {}
    return {**msgspec.structs.asdict(shape), "n_users": shape.n_users if shape.n_users > 1 else None}


def _told_doubts(trial: TrialState) -> tuple[str, ...]:
    """Return what the worker itself said against the figures."""
    of_prompt = (trial.prompt.doubt,) if trial.prompt and trial.prompt.doubt else ()
    return (*of_prompt, *(trial.finished.doubts if trial.finished else ()))


def _memory(trial: TrialState) -> Memory:
    """Return what the model's own process takes: nothing is known of a server's, and the client's is another's."""
    if lacks(trial.method, Need.OWN_PROCESS):
        return Memory()
    if trial.finished:
        return trial.finished.memory
    if trial.failed:
        return trial.failed.memory
    return trial.ready.memory if trial.ready else Memory()
