"""The rounds of a run: which trials come when, side by side where they fit into memory together."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from operator import attrgetter

import msgspec

from tuibench.core.results.stopping import Measured, precise_enough
from tuibench.core.run.endpoint import is_endpoint
from tuibench.core.run.events import Event, FailureKind, PromptTokenised
from tuibench.core.run.plan import MOST_TURN_TOKENS, Cell, Turn, by_round, shape_round, trial_round, turn_tokens
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.resume import ends_cell, ends_method
from tuibench.core.run.run_events import (
    Noticed,
    RunEvent,
    TrialEnded,
    TrialObserved,
    TrialStarted,
    TurnsAdded,
    TurnsDropped,
)
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.trial_state import TrialState
from tuibench.measure.run.sweep_cells import SharedWorkers, refusal, why_impossible
from tuibench.measure.run.trial_requests import TrialRequests
from tuibench.measure.run.trial_under_way import TrialUnderWay
from tuibench.measure.run.watch import Watch
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
        self._turns = turns
        self._planned_rounds = by_round(turns)
        self._workers = workers
        self._parameters = parameters
        self._requests = TrialRequests(spec, prompt_date)
        self._save = save
        self._emit = emit
        self._is_stopped = stopped
        self._watch = Watch(spec.n_threads)
        shapes = spec.sweep.shapes() if spec.sweep else (None,)
        self.measured = {Cell(method, shape): Measured() for method in spec.methods for shape in shapes}
        self.latest: dict[str, TrialRecord] = {}
        """The latest trial of each method that has a result, under whatever shape."""
        self._peaks_bytes: dict[str, int] = {}
        """The most memory that each method was seen to take."""
        self._shared = SharedWorkers(workers) if spec.sweep else None
        self.skipped: set[str] = set()
        """Methods that the user wants no more of."""
        self._taken: set[Turn] = set()
        self._n_rounds = 0
        self._turn_tokens: dict[str, int] = {}
        self.dropped: set[str] = set()
        """Methods that are measured no more, whatever they lack."""
        self._dropped_cells: set[Cell] = set()
        self._told: set[str] = set()

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Go on after these trials: what was measured stays, what was given up stays given up."""
        for record in records:
            self._hear(record)
            if record.warmup:
                continue
            turn = Turn(record.method, record.index, record.shape)
            self._taken.add(turn)
            self._n_rounds = max(self._n_rounds, record.index + 1)
            if not record.failed:
                self._add(record)
            else:
                self._give_up_if_final(turn, record)

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
            unsettled = [name for name in spec.methods if not self._settled(Cell(name, shape), spec.precision)]
            parts.append(trial_round(unsettled, index, spec.n_trials, shape))
        return tuple(filter(None, parts))

    def _settled(self, cell: Cell, precision: float) -> bool:
        """Return whether more trials of a method under a shape would tell nothing new."""
        known = self.measured[cell]
        return self._is_dropped(cell) or (
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
        left = [turn for turn in turns if not self._is_dropped(turn.cell) and turn not in self._taken]
        if self._shared is not None and left:
            await self._shared.begin(left[0])
        if len(left) > 1 and not self._is_stopped() and await self._together(left):
            await self._interleaved(left)
            return
        for turn in turns:
            await self._turn(turn)

    async def _together(self, turns: Sequence[Turn]) -> bool:
        local = [turn.method for turn in turns if not is_endpoint(turn.method)]  # of a server only the client is here
        peaks_bytes = [self._peaks_bytes.get(method) for method in local]
        why_not = await self._workers.host.too_little_memory(peaks_bytes, self._parameters)
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
            self._drop(turn.method)
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
            self._drop(turn.method)
            return
        elif await self._refused(turn):
            return
        else:
            trial = trials[turn.method] = self._trial(turn, turn.index, fresh=True)
            request = self._requests.measured(
                turn.shape, turn_tokens=self._turn_tokens.get(turn.method, MOST_TURN_TOKENS)
            )
            await trial.begin(request, anew=False, beside=True)
        if trial.over:
            await self._keep(turn, trial.record())

    async def _turn(self, turn: Turn) -> None:
        """Measure one turn in one go; a worker of its own starts with the warm-up."""
        if self._is_dropped(turn.cell) or turn in self._taken:
            return
        if self._is_stopped():
            self._drop(turn.method)
            return
        # Beside others, each turn loads anew: one that follows itself at the end of a round would be measured warmer.
        alone = len(self._spec.methods) == 1 or self._shared is not None
        fresh = not alone or self._workers.ready(turn.method) is None
        if fresh and not await self._warm_up(turn):
            return
        if await self._refused(turn):
            return
        anew = fresh and not self._spec.n_warmup
        trial = self._trial(turn, turn.index, fresh=fresh or self._shared is not None, anew=anew)
        await trial.begin(self._requests.measured(turn.shape), anew=anew)
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
        self._hear(record)
        if self._shared is not None:
            record = self._shared.told_once(record)
        if (earlier := self.measured[turn.cell].latest) is not None:
            record = record.sharing(earlier)
        self._save(record)
        self._emit(TrialEnded(record))
        if record.step_ns:
            self._turn_tokens[turn.method] = turn_tokens(record.step_ns)
        if record.failure_kind is not None:
            await self._workers.end(turn.method)
            self._give_up_if_final(turn, record)
            return False
        if not record.warmup:
            self._add(record)
        return True

    async def _refused(self, turn: Turn) -> bool:
        """Return whether a method cannot be asked for this shape; that is recorded then, and its worker left alone."""
        ready = self._workers.ready(turn.method)
        found = why_impossible(turn.shape, turn.method, ready) if turn.shape else None
        if found is None:
            return False
        self._emit(TrialStarted(turn.method, turn.index, warmup=False, n_expected=0, shape=turn.shape))
        record = refusal(turn, *found)
        self._save(record)
        self._emit(TrialEnded(record))
        self._give_up_if_final(turn, record)
        return True

    def _hear(self, record: TrialRecord) -> None:
        """Take note of what a worker tells once, whichever shape it was asked for, and of its memory."""
        peak_bytes = record.peak_rss_bytes or 0
        if peak_bytes and not record.failed and not record.warmup:
            self._peaks_bytes[record.method] = max(peak_bytes, self._peaks_bytes.get(record.method, 0))
        for cell, measured in self.measured.items():
            if cell.method == record.method:
                measured.hear(record)

    def _add(self, record: TrialRecord) -> None:
        self.measured[Cell(record.method, record.shape)].add(record)
        self.latest[record.method] = record

    def _give_up_if_final(self, turn: Turn, record: TrialRecord) -> None:
        if ends_cell(record):
            self._dropped_cells.add(turn.cell)
            n_left = sum(other.cell == turn.cell for other in self._turns) - turn.index - 1
            self._emit(TurnsDropped(turn.method, max(0, n_left)))
        elif ends_method(record):
            if record.failure_kind is FailureKind.SKIPPED:
                self.skipped.add(record.method)
            self._drop(record.method)

    def _is_dropped(self, cell: Cell) -> bool:
        return cell.method in self.dropped or cell in self._dropped_cells

    def _drop(self, method: str) -> None:
        self.dropped.add(method)
        self._emit(TurnsDropped(method))

    def _trial(self, turn: Turn, index: int, *, fresh: bool, warmup: bool = False, anew: bool = False) -> TrialUnderWay:
        shape, method = turn.shape, turn.method
        n_tokens = shape.max_new_tokens if shape else self._spec.max_new_tokens
        n_tokens = self._requests.warmup_tokens if warmup else n_tokens
        self._emit(TrialStarted(method, index, warmup, n_tokens, shape))
        ready = None if anew else self._workers.ready(method)
        state = TrialState(method, index, warmup, n_tokens, shape, ready=ready)
        return TrialUnderWay(state, self._workers, self._watch, self._observed, fresh=fresh)

    def _observed(self, observed: TrialObserved) -> None:
        self._tell_doubt(observed.event)
        self._emit(observed)

    def _tell_doubt(self, event: Event) -> None:
        """Say once that the model does not read the prompt; each trial's record says it, too."""
        if isinstance(event, PromptTokenised) and event.doubt is not None:
            self._tell_once(event.doubt)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._emit(Noticed(text))
