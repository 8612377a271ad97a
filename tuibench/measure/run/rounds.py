"""The rounds of a run: which trials come when, side by side where they fit into memory together."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date

import msgspec

from tuibench.core.results.stopping import Measured, precise_enough
from tuibench.core.run.endpoint import is_endpoint
from tuibench.core.run.events import Event, FailureKind, PromptTokenised
from tuibench.core.run.plan import MOST_TURN_TOKENS, Turn, by_round, trial_round, turn_tokens
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.resume import ends_method
from tuibench.core.run.run_events import (
    Noticed,
    RunEvent,
    TrialEnded,
    TrialObserved,
    TrialStarted,
    TurnsAdded,
    TurnsDropped,
)
from tuibench.core.run.spec import RunSpec, TrialRequest
from tuibench.core.run.trial_state import TrialState
from tuibench.machine.memory_room import too_little_memory
from tuibench.measure.process.workers import Workers
from tuibench.measure.run.trial_under_way import TrialUnderWay
from tuibench.measure.run.watch import Watch

WARMUP_TOKENS = 8
"""Enough to start thread pools and fill caches; a full-length warm-up without KV-cache would take minutes."""

_WHOLE_TURNS = (
    "an endpoint streams each trial in one turn, the other methods take short ones: what the machine does within a "
    "round does not hit it as it hits them"
)


class Rounds:
    """Takes the planned rounds, and those that precision asks for. Each trial is saved as soon as it is over."""

    def __init__(
        self,
        spec: RunSpec,
        turns: Sequence[Turn],
        workers: Workers,
        *,
        parameters: int,
        prompt_date: date,
        save: Callable[[TrialRecord], None],
        emit: Callable[[RunEvent], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Say what to measure.

        Args:
            spec: The comparison.
            turns: That are planned.
            workers: The run's.
            parameters: Of the model.
            prompt_date: The day that the prompt's template is told.
            save: Called with each trial's record.
            emit: Called with what happens.
            stopped: Whether the user has ended the run.
        """
        self._spec = spec
        self._planned_rounds = by_round(turns)
        self._workers = workers
        self._parameters = parameters
        self._prompt_date = prompt_date
        self._save = save
        self._emit = emit
        self._is_stopped = stopped
        self._watch = Watch(spec.n_threads)
        self._warmup_tokens = min(WARMUP_TOKENS, spec.max_new_tokens)
        self.measured = {method: Measured() for method in spec.methods}
        self.skipped: set[str] = set()
        """Methods that the user wants no more of."""
        self._taken: set[Turn] = set()
        self._n_rounds = 0
        self._turn_tokens: dict[str, int] = {}
        self.dropped: set[str] = set()
        """Methods that are measured no more, whatever they lack."""
        self._told: set[str] = set()

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Go on after these trials: what was measured stays, what was given up stays given up."""
        for record in records:
            self.measured[record.method].hear(record)
            if record.warmup:
                continue
            self._taken.add(Turn(record.method, record.index))
            self._n_rounds = max(self._n_rounds, record.index + 1)
            if not record.failed:
                self.measured[record.method].add(record)
            elif ends_method(record):
                self._give_up(record)

    async def take(self) -> None:
        """Take the planned rounds, then as many as the precision asks for, as long as there is time."""
        started_s = time.monotonic()
        for index in itertools.count():
            turns = self._round(index)
            if not turns:
                return
            budget_s = self._spec.budget_s
            if index and budget_s is not None and time.monotonic() - started_s > budget_s:
                self._end_early(f"the time budget of {budget_s:g} s is used up after {index} rounds", turns)
                return
            if index >= self._spec.n_trials:
                self._emit(TurnsAdded(turns))
            await self._take_round(turns)

    async def take_more(self, methods: Sequence[str], n_rounds: int) -> None:
        """Take more rounds of some methods, after all that were planned."""
        first = self._n_rounds
        for index in range(first, first + n_rounds):
            if self._is_stopped():
                return
            turns = trial_round([method for method in methods if method not in self.dropped], index, first)
            self._emit(TurnsAdded(turns))
            await self._take_round(turns)

    def _round(self, index: int) -> tuple[Turn, ...]:
        spec = self._spec
        if index < spec.n_trials:
            return self._planned_rounds.get(index, ())
        if spec.precision is None or index >= spec.max_trials or self._is_stopped():
            return ()
        unsettled = [method for method in spec.methods if not self._settled(method, spec.precision)]
        return trial_round(unsettled, index, spec.n_trials)

    def _settled(self, method: str, precision: float) -> bool:
        """Return whether more trials of a method would tell nothing new."""
        known = self.measured[method]
        return method in self.dropped or (
            known.decoded_ns / 1e9 >= self._spec.min_time_s and precise_enough(known.speeds_tps, precision=precision)
        )

    def _end_early(self, why: str, turns: Sequence[Turn]) -> None:
        self._emit(Noticed(why))
        if turns[0].index < self._spec.n_trials:  # a round that was only added when needed is not missed
            for turn in turns:
                self._drop(turn.method)

    async def _take_round(self, turns: Sequence[Turn]) -> None:
        """Take a round's trials in turns of a few tokens where their workers fit into memory together."""
        self._n_rounds = max([self._n_rounds, *(turn.index + 1 for turn in turns)])
        left = [turn for turn in turns if turn.method not in self.dropped and turn not in self._taken]
        if len(left) > 1 and not self._is_stopped() and self._together(left):
            await self._interleaved(left)
            return
        for turn in turns:
            await self._turn(turn)

    def _together(self, turns: Sequence[Turn]) -> bool:
        local = [turn.method for turn in turns if not is_endpoint(turn.method)]  # of a server only the client is here
        latest = [self.measured[method].latest for method in local]
        peaks_bytes = [record.peak_rss_bytes if record else None for record in latest]
        why_not = too_little_memory(peaks_bytes, self._parameters)
        if why_not is not None:
            self._tell_once(why_not)
        elif len(local) < len(turns):
            self._tell_once(_WHOLE_TURNS)
        return why_not is None

    async def _interleaved(self, turns: Sequence[Turn]) -> None:
        """Measure trials side by side: what the machine does meanwhile happens to all of them.

        Each loads and warms up in its turn; then they generate forward and backward, one or a few tokens each.
        """
        await self._workers.end()
        going = [turn for turn in turns if await self._begins(turn)]
        trials: dict[str, TrialUnderWay] = {}
        while going:
            for turn in going:
                await self._step(turn, trials)
            going = [turn for turn in reversed(going) if turn.method in trials and not trials[turn.method].over]

    async def _begins(self, turn: Turn) -> bool:
        if self._is_stopped():
            self._drop(turn.method)
            return False
        return await self._warm_up(turn, beside=True)

    async def _step(self, turn: Turn, trials: dict[str, TrialUnderWay]) -> None:
        """Take a trial's next turn, or its first, which makes it one of the `trials`."""
        trial = trials.get(turn.method)
        if trial is not None:
            await trial.go_on()
        elif self._is_stopped():
            self._drop(turn.method)
            return
        else:
            trial = trials[turn.method] = self._trial(turn.method, turn.index, fresh=True)
            request = self._request(self._spec.max_new_tokens, self._turn_tokens.get(turn.method, MOST_TURN_TOKENS))
            await trial.begin(request, anew=False, beside=True)
        if trial.over:
            await self._keep(turn, trial.record())

    async def _turn(self, turn: Turn) -> None:
        """Measure one turn in one go; a worker of its own starts with the warm-up."""
        if turn.method in self.dropped or turn in self._taken:
            return
        if self._is_stopped():
            self._drop(turn.method)
            return
        # Beside others, each turn loads anew: one that follows itself at the end of a round would be measured warmer.
        fresh = len(self._spec.methods) > 1 or self._workers.ready(turn.method) is None
        if fresh and not await self._warm_up(turn):
            return
        anew = fresh and not self._spec.n_warmup
        trial = self._trial(turn.method, turn.index, fresh=fresh, anew=anew)
        await trial.begin(self._request(self._spec.max_new_tokens), anew=anew)
        await self._keep(turn, trial.record())

    async def _warm_up(self, turn: Turn, *, beside: bool = False) -> bool:
        """Start a method's worker with its warm-up, if there is one; return whether it is fit to be measured."""
        for index in range(self._spec.n_warmup):
            trial = self._trial(turn.method, index, warmup=True, fresh=True, anew=index == 0)
            await trial.begin(self._request(self._warmup_tokens), anew=index == 0, beside=beside)
            if not await self._keep(turn, trial.record()):
                return False
        return True

    async def _keep(self, turn: Turn, record: TrialRecord) -> bool:
        """Save a trial that is over; return whether the method goes on."""
        if record.failed and record.warmup:
            record = msgspec.structs.replace(record, index=turn.index, warmup=False)  # the turn is lost with it
        measured = self.measured[turn.method]
        measured.hear(record)
        if measured.latest is not None:
            record = record.sharing(measured.latest)
        self._save(record)
        self._emit(TrialEnded(record))
        if record.step_ns:
            self._turn_tokens[turn.method] = turn_tokens(record.step_ns)
        if record.failure_kind is not None:
            await self._workers.end(turn.method)
            if ends_method(record):
                self._give_up(record)
            return False
        if not record.warmup:
            measured.add(record)
        return True

    def _give_up(self, record: TrialRecord) -> None:
        if record.failure_kind is FailureKind.SKIPPED:
            self.skipped.add(record.method)
        self._drop(record.method)

    def _drop(self, method: str) -> None:
        self.dropped.add(method)
        self._emit(TurnsDropped(method))

    def _trial(
        self, method: str, index: int, *, fresh: bool, warmup: bool = False, anew: bool = False
    ) -> TrialUnderWay:
        n_tokens = self._warmup_tokens if warmup else self._spec.max_new_tokens
        self._emit(TrialStarted(method, index, warmup, n_tokens))
        ready = None if anew else self._workers.ready(method)
        state = TrialState(method, index, warmup, n_tokens, ready=ready)
        return TrialUnderWay(state, self._workers, self._watch, self._observed, fresh=fresh)

    def _observed(self, observed: TrialObserved) -> None:
        self._tell_doubt(observed.event)
        self._emit(observed)

    def _request(self, n_tokens: int, turn_tokens: int | None = None) -> TrialRequest:
        spec = self._spec
        return TrialRequest(
            prompt=spec.prompt,
            raw=spec.raw,
            prompt_date=self._prompt_date,
            max_new_tokens=n_tokens,
            sampling=spec.sampling,
            turn_tokens=turn_tokens,
        )

    def _tell_doubt(self, event: Event) -> None:
        """Say once that the model does not read the prompt; each trial's record says it, too."""
        if isinstance(event, PromptTokenised) and event.doubt is not None:
            self._tell_once(event.doubt)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._emit(Noticed(text))
