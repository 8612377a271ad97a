"""What a method's state means in words and numbers for a panel. Pure: no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.results.metrics import DECODE, TTFT, summarise
from tuibench.core.run.eta import scoring_remaining_ns, trial_remaining_ns
from tuibench.core.run.events import FailureKind, Phase
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.state import MethodState, MethodStatus, RunState
from tuibench.core.run.trial_state import TrialState
from tuibench.core.run.users import recorded_steps

_USER = "{:>2} │ "
"""What stands before a user's line."""
MARKS = {
    MethodStatus.WAITING: "·",
    MethodStatus.RUNNING: "▶",
    MethodStatus.DONE: "✓",
    MethodStatus.FAILED: "✗",
    MethodStatus.SKIPPED: "↷",
    MethodStatus.STOPPED: "■",
}
_PHASES = {
    Phase.QUEUED: "queued",
    Phase.START: "starting",
    Phase.PREPARE: "preparing",
    Phase.LOAD: "loading",
    Phase.IDLE: "ready",
    Phase.PREFILL: "prefill",
    Phase.DECODE: "decode",
    Phase.QUALITY: "scoring",
}


@dataclass(frozen=True, slots=True)
class Stream:
    """The output of one trial, however it is kept: under way, or as a record."""

    key: object
    """Equal for two streams exactly if the second continues the first."""
    pieces: list[str]
    n: int
    """Only the first `n` pieces belong to the stream."""
    tail: str
    n_expected: int
    ids: Sequence[int]
    """Token ids; as with the pieces, only the first `n` belong to the stream."""
    source: TrialState | TrialRecord

    def step_ns(self, start: int) -> list[int]:
        """Return the gaps between tokens from gap number `start` on."""
        if isinstance(self.source, TrialState):
            return self.source.step_ns(start)
        return list(self.source.step_ns[start:])


def stream_of(method: MethodState) -> Stream | None:
    """Return what the panel of a method streams; None before there is any trial.

    Until a further trial has its first token, it is what the latest one streamed.
    """
    trial = method.trial
    if trial is not None and (trial.n_pieces or (method.running and not method.measured)):
        tail = trial.finished.text_tail if trial.finished else ""
        return Stream(id(trial.log), trial.log.pieces, trial.n_pieces, tail, trial.n_expected, trial.log.ids, trial)
    if not method.measured:
        return None
    return stream_of_record(method.measured[-1])


def stream_of_record(record: TrialRecord) -> Stream:
    """Return what a finished trial streamed."""
    if record.users_ttft_ns:
        return _first_of(record)
    pieces = record.pieces()
    tail = record.text[sum(record.piece_chars) :]
    return Stream(id(record), pieces, len(pieces), tail, max(record.n_gen, 1), record.token_ids, record)


def _first_of(record: TrialRecord) -> Stream:
    """Return what the first of several users saw, step by step, as it is shown while it comes."""
    steps = recorded_steps(record)
    pieces = [step.texts[step.users.index(0)] if 0 in step.users else "" for step in steps]
    return Stream(id(record), pieces, len(pieces), "", max(record.n_gen, 1), (), record)


def user_lines(method: MethodState | None, width: int) -> list[str]:
    """Return a line for each of several users of the trial that is shown: the end of what they were told so far.

    Args:
        method: Whose trial.
        width: Characters a line may have.

    Returns:
        Nothing where there is one user, or no step yet.
    """
    trial = method.trial if method else None
    if trial is None or not trial.log.steps or not trial.n_pieces:
        return []
    n_users = trial.shape.n_users if trial.shape else 1
    room = max(1, width - len(_USER.format(n_users)))
    ends = dict.fromkeys(range(n_users), "")
    wanted = set(ends)
    for step in reversed(trial.log.steps[: trial.n_pieces]):  # from the end: only so much is read as can be seen
        for user, text in zip(step.users, step.texts, strict=True):
            if user in wanted:
                ends[user] = text + ends[user]
                if len(ends[user]) >= room:
                    wanted.discard(user)
        if not wanted:
            break
    return [
        f"{_USER.format(user + 1)}{fmt.printable_line(end)[-room:] if end else 'waits'}" for user, end in ends.items()
    ]


def first_difference(stream: Stream | None, reference: Stream | None) -> int | None:
    """Return the index of the first token that is another than the reference's; None as long as there is none.

    Of pieces of text, whose tokens nobody knows, it is the first with another text.
    """
    if stream is None or reference is None:
        return None
    n = min(stream.n, reference.n)
    if not stream.ids or not reference.ids:
        return _first_other_piece(stream.pieces[: stream.n], "".join(reference.pieces[: reference.n]))
    if stream.ids[:n] == reference.ids[:n]:
        return None
    pairs = zip(stream.ids[:n], reference.ids[:n], strict=True)
    return next((index for index, (ours, theirs) in enumerate(pairs) if ours != theirs), None)


def _first_other_piece(pieces: Sequence[str], text: str) -> int | None:
    """Return the index of the first piece that a text does not have in its place, as far as the text goes."""
    start = 0
    for index, piece in enumerate(pieces):
        theirs = text[start : start + len(piece)]
        if piece[: len(theirs)] != theirs:
            return index
        start += len(piece)
    return None


def decode_tps(method: MethodState) -> float | None:
    """Return the speed to show: of the trial under way as soon as it has one, else the median of the measured ones."""
    trial = _generating(method)
    if trial is not None and trial.decode_tps is not None:
        return trial.decode_tps
    found = summarise(DECODE, _of_shown_shape(method))
    return found.median if found else None


def ttft_ns(method: MethodState) -> float | None:
    """Return the time to first token to show, chosen like `decode_tps`."""
    trial = _generating(method)
    if trial is not None and trial.ttft_ns is not None:
        return trial.ttft_ns
    found = summarise(TTFT, _of_shown_shape(method))
    return found.median if found else None


def _of_shown_shape(method: MethodState) -> list[TrialRecord]:
    """Return the measured trials; of a sweep those of the shape that came last, for a median over shapes is of none."""
    measured = method.measured
    shape = measured[-1].shape if measured else None
    return [record for record in measured if record.shape == shape]


def _generating(method: MethodState) -> TrialState | None:
    return method.trial if method.running and not method.scoring else None


def trial_label(method: MethodState) -> str:
    """Return which trial is under way, or that it is the quality: `warm-up`, `trial 2/3`."""
    trial = method.trial
    if trial is None:
        return ""
    if method.scoring:
        return "quality"
    return "warm-up" if trial.warmup else f"trial {trial.index + 1}/{method.n_planned}"


def phase_word(method: MethodState) -> str:
    """Return the phase of the trial under way in a word or two."""
    trial = method.trial
    if trial is None:
        return ""
    return fmt.printable(trial.progress.label) if trial.progress is not None else _PHASES[trial.phase]


def phase_label(method: MethodState) -> str:
    """Return what the method is doing now."""
    trial = method.trial
    match method.status:
        case MethodStatus.RUNNING if trial is not None:
            return " · ".join(part for part in (trial_label(method), phase_word(method)) if part)
        case MethodStatus.DONE:
            n_trials = len(_of_shown_shape(method))
            return "done" if n_trials == 1 else f"median of {n_trials}"
        case MethodStatus.FAILED | MethodStatus.SKIPPED | MethodStatus.STOPPED as ended:
            return ended.value
        case _:
            return f"{len(method.measured)}/{fmt.counted(method.n_planned, 'trial')}" if method.n_done else "waiting"


def progress(method: MethodState) -> tuple[int, int | None]:
    """Return steps done and steps in all of what is going on; None where the end is not known."""
    trial = method.trial
    if method.running and trial is not None:
        if trial.progress is not None:
            return trial.progress.done, trial.progress.total
        if trial.phase in (Phase.PREFILL, Phase.DECODE):
            return trial.n_gen, trial.n_expected
        return 0, None
    ended_early = method.status in (MethodStatus.FAILED, MethodStatus.SKIPPED, MethodStatus.STOPPED)
    return len(method.measured), None if ended_early else method.n_planned


def eta_s(method: MethodState) -> float | None:
    """Return the seconds until what is under way, a trial or the scoring, ends as fast as it goes; None if unknown."""
    trial = method.trial
    if not method.running or trial is None:
        return None
    left_ns = scoring_remaining_ns(trial) if method.scoring else trial_remaining_ns(trial)
    return None if left_ns is None else left_ns / 1e9


def run_label(run: RunState) -> str:
    """Return the state of the whole run in a few words."""
    if not run.methods:
        return "idle"
    what = "● running" if run.running else "■ stopped" if run.cancelled else "■ ended"
    n_measured = sum(len(method.measured) for method in run.methods.values())
    kinds = [method.failure.failure_kind for method in run.methods.values() if method.failure]
    n_skipped = kinds.count(FailureKind.SKIPPED)
    n_failed = len(kinds) - n_skipped - kinds.count(FailureKind.CANCELLED)
    parts = [what, f"{n_measured}/{fmt.counted(run.n_turns, 'trial')}"]
    parts += [f"{n} {word}" for n, word in ((n_skipped, "skipped"), (n_failed, "failed")) if n]
    return " · ".join(parts)


def failure_text(record: TrialRecord) -> str:
    """Return kind, place and reason of a failure."""
    kind = record.failure_kind.value if record.failure_kind else "failed"
    where = f" during {_PHASES[record.failure_phase]}" if record.failure_phase else ""
    reason = fmt.printable(record.failure_message or "no reason given")
    return f"{kind}{where}\n{reason}"


def text_reference(run: RunState) -> MethodState | None:
    """Return the method whose text the others' are held against: `kv-cache`, else the lowest rung of the run."""
    return run.methods.get("kv-cache") or next(iter(run.methods.values()), None)
