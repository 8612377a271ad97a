"""The rounds of a run: which trials come when, side by side where they fit into memory together."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from datetime import date
from operator import attrgetter

import msgspec

from tuibench.core.run.events import Event, Phase, PromptTokenised
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.plan import MOST_TURN_TOKENS, Cell, Turn, by_round, shape_round, trial_round, turn_tokens
from tuibench.core.run.record import Failure, TrialRecord
from tuibench.core.run.run_events import (
    Noticed,
    TrialEnded,
    TrialObserved,
    TrialStarted,
    TurnsAdded,
)
from tuibench.core.run.spec import RunSpec, TrialRequest
from tuibench.measure.run.refusal import refuse
from tuibench.measure.run.sweep_cells import SharedWorkers, spare_tokens, why_impossible
from tuibench.measure.run.tally import Tally
from tuibench.measure.run.telling import Telling
from tuibench.measure.run.trial_requests import TrialRequests
from tuibench.measure.run.trial_under_way import TrialUnderWay
from tuibench.measure.run.watch import Watch
from tuibench.measure.run.worker_room import WorkerRoom
from tuibench.measure.run.workers import Workers

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
        room: WorkerRoom,
        prompt_date: date,
        save: Callable[[TrialRecord], None],
        telling: Telling,
        stopped: Callable[[], bool],
    ) -> None:
        """Say what to measure.

        Args:
            spec: The comparison.
            turns: That are planned.
            workers: The run's.
            room: Theirs in memory.
            prompt_date: The day that the prompt's template is told.
            save: Called with each trial's record.
            telling: Told what happens.
            stopped: Whether the user has ended the run.
        """
        self._spec = spec
        self._planned_rounds = by_round(turns)
        self._workers = workers
        self._room = room
        self._requests = TrialRequests(spec, prompt_date)
        self._save = save
        self._telling = telling
        self._is_stopped = stopped
        self._watch = Watch(spec.n_threads)
        self.tally = Tally(spec, turns, telling)
        self._shared = SharedWorkers(workers) if spec.sweep else None
        self._turn_tokens: dict[str, int] = {}
        self._told: set[str] = set()

    async def take(self) -> None:
        """Take the planned rounds, then as many as the precision asks for, as long as there is time."""
        started_s = time.monotonic()
        for index in itertools.count():
            parts = self._round(index)
            if not parts:
                return
            for number, turns in enumerate(parts):
                budget_s = self._spec.budget_s
                if index and budget_s is not None and time.monotonic() - started_s > budget_s:
                    left = [turn for part in parts[number:] for turn in part]
                    self._end_early(f"the time budget of {budget_s:g} s is used up after {index} rounds", left)
                    return
                if index >= self._spec.n_trials:
                    self._telling.tell(TurnsAdded(turns))
                await self._take_round(turns)

    async def take_more(self, methods: Sequence[str], n_rounds: int) -> None:
        """Take more rounds of some methods, after all that were planned."""
        first = self.tally.n_rounds
        for index in range(first, first + n_rounds):
            if self._is_stopped():
                return
            turns = trial_round([method for method in methods if method not in self.tally.dropped], index, first)
            self._telling.tell(TurnsAdded(turns))
            await self._take_round(turns)

    def _round(self, index: int) -> tuple[tuple[Turn, ...], ...]:
        """Return the turns of a round, those of each shape together; none where there is nothing more to take."""
        spec = self._spec
        if index < spec.n_trials:
            planned = self._planned_rounds.get(index, ())
            return tuple(tuple(turns) for _, turns in itertools.groupby(planned, key=attrgetter("shape")))
        if spec.precision is None or index >= spec.max_trials or self._is_stopped():
            return ()
        parts = []
        for shape in shape_round(spec.sweep.shapes(), index) if spec.sweep else (None,):
            unsettled = [name for name in spec.methods if not self.tally.settled(Cell(name, shape), spec.precision)]
            parts.append(trial_round(unsettled, index, spec.n_trials, shape))
        return tuple(filter(None, parts))

    def _end_early(self, why: str, turns: Sequence[Turn]) -> None:
        self._telling.tell(Noticed(why))
        if turns[0].index < self._spec.n_trials:  # a round that was only added when needed is not missed
            for turn in turns:
                self.tally.drop(turn.method)

    async def _take_round(self, turns: Sequence[Turn]) -> None:
        """Take a round's trials in turns of a few tokens where their workers fit into memory together."""
        self.tally.n_rounds = max([self.tally.n_rounds, *(turn.index + 1 for turn in turns)])
        left = [turn for turn in turns if not self.tally.is_dropped(turn.cell) and turn not in self.tally.taken]
        if self._shared is not None and left:
            await self._shared.begin(left[0])
        if len(left) > 1 and not self._is_stopped() and await self._together(left):
            await self._interleaved(left)
            return
        for turn in turns:
            await self._turn(turn)

    async def _together(self, turns: Sequence[Turn]) -> bool:
        local = [turn.method for turn in turns if not lacks(turn.method, Need.OWN_PROCESS)]
        why_not = await self._room.lacking(local, self.tally.peaks_bytes)
        if why_not is not None:
            self._tell_once(why_not)
        elif len(local) < len(turns):
            self._tell_once(_WHOLE_TURNS)
        return why_not is None

    async def _interleaved(self, turns: Sequence[Turn]) -> None:
        """Measure trials side by side: what the machine does meanwhile happens to all of them.

        Each loads and warms up in its turn; then they generate forward and backward, one or a few tokens each.
        """
        if self._shared is None:
            await self._workers.end()
        going = [turn for turn in turns if await self._begins(turn)]
        trials: dict[str, TrialUnderWay] = {}
        while going:
            for turn in going:
                await self._step(turn, trials)
            going = [turn for turn in reversed(going) if turn.method in trials and not trials[turn.method].over]

    async def _begins(self, turn: Turn) -> bool:
        if self._is_stopped():
            self.tally.drop(turn.method)
            return False
        if self._shared is not None and self._shared.has(turn.method):
            return True
        return await self._warm_up(turn, beside=True)

    async def _step(self, turn: Turn, trials: dict[str, TrialUnderWay]) -> None:
        """Take a trial's next turn, or its first, which makes it one of the `trials`."""
        trial = trials.get(turn.method)
        if trial is not None:
            await trial.go_on()
        elif self._is_stopped():
            self.tally.drop(turn.method)
            return
        else:
            request = await self._request(turn, self._turn_tokens.get(turn.method, MOST_TURN_TOKENS))
            if request is None:
                return
            trial = trials[turn.method] = self._trial(turn, turn.index, fresh=True)
            await trial.begin(request, anew=False, beside=True)
        if trial.over:
            await self._keep(turn, trial.record())

    async def _turn(self, turn: Turn) -> None:
        """Measure one turn in one go; a worker of its own starts with the warm-up."""
        if self.tally.is_dropped(turn.cell) or turn in self.tally.taken:
            return
        if self._is_stopped():
            self.tally.drop(turn.method)
            return
        # Beside others, each turn loads anew: one that follows itself at the end of a round would be measured warmer.
        alone = len(self._spec.methods) == 1 or self._shared is not None
        fresh = not alone or self._workers.ready(turn.method) is None
        if fresh and not await self._warm_up(turn):
            return
        request = await self._request(turn)
        if request is None:
            return
        anew = fresh and not self._spec.n_warmup
        trial = self._trial(turn, turn.index, fresh=fresh or self._shared is not None, anew=anew)
        await trial.begin(request, anew=anew)
        await self._keep(turn, trial.record())

    async def _warm_up(self, turn: Turn, *, beside: bool = False) -> bool:
        """Start a method's worker with its warm-up, if there is one; return whether it is fit to be measured."""
        for index in range(self._spec.n_warmup):
            trial = self._trial(turn, index, warmup=True, fresh=True, anew=index == 0)
            await trial.begin(self._requests.warmup(turn.shape), anew=index == 0, beside=beside)
            if not await self._keep(turn, trial.record()):
                return False
        return True

    async def _keep(self, turn: Turn, record: TrialRecord) -> bool:
        """Save a trial that is over; return whether the method goes on."""
        if record.failed and record.warmup:
            record = msgspec.structs.replace(record, index=turn.index, warmup=False)  # the turn is lost with it
        self.tally.hear(record)
        if self._shared is not None:
            record = self._with_limits(self._shared.told_once(record))
        if (earlier := self.tally.measured[turn.cell].latest) is not None:
            record = record.sharing(earlier)
        self._save(record)
        self._telling.tell(TrialEnded(record))
        if record.step_ns:
            self._turn_tokens[turn.method] = turn_tokens(record.step_ns)
        if record.failure_kind is not None:
            await self._workers.end(turn.method)
            self.tally.give_up_if_final(turn, record)
            return False
        if not record.warmup:
            self.tally.add(record)
        return True

    def _with_limits(self, record: TrialRecord) -> TrialRecord:
        """Return the record with what users' answers must keep."""
        spec = self._spec
        return msgspec.structs.replace(record, ttft_limit_ns=spec.ttft_limit_ns, tpot_limit_ns=spec.tpot_limit_ns)

    async def _request(self, turn: Turn, turn_tokens: int | None = None) -> TrialRequest | None:
        """Return what to ask of a method; None where it cannot be: that is recorded then, and its worker left alone."""
        request, sweep = self._requests.measured(turn.shape, turn_tokens), self._spec.sweep
        if turn.shape is None or sweep is None:
            return request
        ready, free_bytes = self._workers.ready(turn.method), await self._workers.host.free_memory_bytes()
        found = why_impossible(turn.shape, turn.method, ready, free_bytes)
        if found is None:
            spare = spare_tokens(turn.shape, sweep, turn.method, ready, free_bytes)
            return msgspec.structs.replace(request, spare_tokens=spare)
        kind, why = found
        failure = Failure(kind=kind, phase=Phase.IDLE, message=why)
        self.tally.give_up_if_final(turn, refuse(turn, failure, self._telling, self._save))
        return None

    def _trial(self, turn: Turn, index: int, *, fresh: bool, warmup: bool = False, anew: bool = False) -> TrialUnderWay:
        shape, method = turn.shape, turn.method
        request = (self._requests.warmup if warmup else self._requests.measured)(shape)
        n_tokens = request.max_new_tokens * request.n_users
        ready = None if anew else self._workers.ready(method)
        self._telling.tell(TrialStarted(method, index, warmup, n_tokens, shape, ready))
        return TrialUnderWay(method, self._telling, self._workers, self._watch, self._observed, fresh=fresh)

    def _observed(self, observed: TrialObserved) -> None:
        self._tell_doubt(observed.event)
        self._telling.tell(observed)

    def _tell_doubt(self, event: Event) -> None:
        """Say once that the model does not read the prompt; each trial's record says it, too."""
        if isinstance(event, PromptTokenised) and event.doubt is not None:
            self._tell_once(event.doubt)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._telling.tell(Noticed(text))
