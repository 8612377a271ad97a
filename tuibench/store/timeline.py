"""A stored session as a state for every moment of it: what a race is wound back and forth with."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tuibench.core.results.metrics import first_divergence
from tuibench.core.run.events import PieceEmitted, StepEmitted, TokenEmitted
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.run_events import RunEvent, TrialObserved
from tuibench.core.run.state import RunState, fold
from tuibench.store.replay import Replay, shown_trials
from tuibench.store.schema import Session

_CHECKPOINT = 512
"""Events between two states that are kept: going back costs folding at most so many again."""


class Timeline:
    """All methods side by side from their requests on; the same events and the same fold as live."""

    def __init__(self, session: Session) -> None:
        replay = Replay(session)
        timed = list(replay.timed_events())
        self.duration_ns = replay.duration_ns
        self._times_ns = [at_ns for at_ns, _ in timed]
        self._events: list[RunEvent] = [event for _, event in timed]
        self._token_times_ns = sorted({at_ns for at_ns, event in timed if _is_token(event)})
        self._n_folded = 0
        self._state = RunState()
        self._checkpoints: list[RunState] = [self._state]

    def at(self, position_ns: int) -> RunState:
        """Return the state at a time; going on from the time asked for last costs only what lies in between."""
        n_wanted = bisect_right(self._times_ns, position_ns)
        if n_wanted < self._n_folded:
            kept = n_wanted // _CHECKPOINT
            self._n_folded, self._state = kept * _CHECKPOINT, self._checkpoints[kept]
        state = self._state
        for index in range(self._n_folded, n_wanted):
            state = fold(state, self._events[index])
            if (index + 1) % _CHECKPOINT == 0 and (index + 1) // _CHECKPOINT == len(self._checkpoints):
                self._checkpoints.append(state)
        self._n_folded, self._state = n_wanted, state
        return state

    def next_token_ns(self, position_ns: int) -> int:
        """Return when the next token of any method came; the end where there is none."""
        index = bisect_right(self._token_times_ns, position_ns)
        return self._token_times_ns[index] if index < len(self._token_times_ns) else self.duration_ns

    def token_before_ns(self, position_ns: int) -> int:
        """Return when the token before came; the start where there is none."""
        index = bisect_left(self._token_times_ns, position_ns)
        return self._token_times_ns[index - 1] if index else 0


def _is_token(event: RunEvent) -> bool:
    return isinstance(event, TrialObserved) and isinstance(event.event, TokenEmitted | StepEmitted | PieceEmitted)


def divergences_ns(session: Session, reference: str) -> dict[str, int]:
    """Return, for each method whose text is another than the reference's, when both had come to the first difference.

    Methods that say the same, as far as both go, are left out; so are those whose tokens nobody knows, and all of
    several users at once: what each of them is told is not held against any other text.
    """
    trials = shown_trials(session)
    if any(record.users_ttft_ns for record in trials.values()):
        return {}
    theirs = trials.get(reference)
    found = {}
    for method, ours in trials.items():
        by_token = theirs is not None and not ours.text_only and not theirs.text_only
        index = first_divergence(ours, theirs) if theirs is not None and by_token else None
        if theirs is not None and index is not None:
            found[method] = max(_token_at_ns(ours, index), _token_at_ns(theirs, index))
    return found


def _token_at_ns(record: TrialRecord, index: int) -> int:
    return (record.ttft_ns or 0) + sum(record.step_ns[:index])
