"""A whole run: round after round, each trial saved as soon as it is over."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from tuibench import paths
from tuibench.core.results.roofline import roofline
from tuibench.core.results.stopping import Measured, precise_enough
from tuibench.core.run.control import is_control
from tuibench.core.run.events import Event, FailureKind, PromptTokenised
from tuibench.core.run.plan import MOST_TURN_TOKENS, Turn, by_round, trial_order, trial_round, turn_tokens
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.resume import ends_method
from tuibench.core.run.run_events import (
    MachineDescribed,
    Noticed,
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
from tuibench.core.run.spec import RunSpec, TrialRequest
from tuibench.core.run.trial_state import TrialState
from tuibench.machine.lock import measuring, unseen_measurements
from tuibench.machine.memory_room import too_little_memory
from tuibench.measure.process.supervisor import WORKER_COMMAND
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.measure.process.workers import Workers
from tuibench.measure.run.bandwidth_turn import BandwidthTurn
from tuibench.measure.run.quality_turns import QualityTurns
from tuibench.measure.run.resume import Continuation
from tuibench.measure.run.session_start import session_path, start_header
from tuibench.measure.run.trial_under_way import TrialUnderWay
from tuibench.measure.run.watch import Watch
from tuibench.models.artifacts import discard_abandoned
from tuibench.models.local import LocalModel
from tuibench.store.append import remedy
from tuibench.store.schema import SecondReading, Session
from tuibench.store.writer import SessionWriter

_KILLED_BUILD_S = 2
"""A build that was killed with its worker is gone after this: what it left is removed with the run's end."""
WARMUP_TOKENS = 8
"""Enough to start thread pools and fill caches; a full-length warm-up without KV-cache would take minutes."""


class Measurement:
    """One run from start to end. Iterate `events()` once; `stop` and `skip` may be called meanwhile."""

    def __init__(
        self,
        spec: RunSpec,
        model: LocalModel,
        sessions: Path,
        *,
        limits: TimeLimits | None = None,
        worker_command: Sequence[str] = WORKER_COMMAND,
        bandwidth: Callable[..., Awaitable[int]] | None = None,
        resume: Continuation | None = None,
    ) -> None:
        """Say what to measure; nothing starts yet.

        Args:
            spec: The comparison.
            model: Its model, on this disk.
            sessions: The folder for the session file.
            limits: Time-outs; by default the spec's, or each phase's own.
            worker_command: How to start a worker.
            bandwidth: Returns the read bandwidth for so many threads, in bytes a second; measured `again` even
                if it is known. None leaves it out.
            resume: The session to go on with, instead of a new one; the spec is its own.
        """
        self._spec = spec
        self._model = model
        self._bandwidth = BandwidthTurn(bandwidth, spec.n_threads, self._notice)
        limits = limits or (TimeLimits.uniform(spec.timeout_s) if spec.timeout_s else TimeLimits())
        self._turns = resume.session.header.settings.turns() if resume else trial_order(spec.methods, spec.n_trials)
        self._planned_rounds = by_round(self._turns)
        self._resume = resume
        header = resume.session.header if resume else start_header(spec, model, self._turns)
        self._writer = SessionWriter(resume.path if resume else session_path(header, sessions), header)
        self._taken: set[Turn] = set()
        self._scored: set[str] = set()
        self._watch = Watch(spec.n_threads)
        self._workers = Workers(spec, model.directory, self._writer.path.stem, limits, worker_command)
        self._measured = {method: Measured() for method in spec.methods}
        self._turn_tokens: dict[str, int] = {}
        self._dropped: set[str] = set()
        self._skipped: set[str] = set()
        self._told: set[str] = set()
        self._stopped = False
        self._emit: Callable[[RunEvent], None]

    @property
    def n_unsaved(self) -> int:
        """Records that could not be written so far."""
        return self._writer.n_pending

    @property
    def session_path(self) -> Path | None:
        """The session file; None until it exists."""
        return self._writer.path if self._writer.created else None

    def session(self) -> Session:
        """Return everything measured so far, whether the disk has it or not.

        Raises:
            SessionError: The session file cannot be read.
        """
        return self._writer.session()

    def stop(self) -> None:
        """End the run: the trial under way is cancelled, everything finished stays saved."""
        self._stopped = True
        self._bandwidth.call_off()
        self._workers.stop()

    def skip(self, method: str | None = None) -> None:
        """End a method and go on with the others: nothing more of it is measured or scored.

        Args:
            method: By default the one that has its turn.
        """
        self._workers.skip(method)

    async def events(self) -> AsyncGenerator[RunEvent]:
        """Measure, and yield what happens. Closing the iterator ends the worker and the run."""
        queue: asyncio.Queue[RunEvent | None] = asyncio.Queue()
        self._emit = queue.put_nowait
        run = asyncio.create_task(self._run())
        run.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await run
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run

    async def _run(self) -> None:
        spec = self._spec
        scored, greedy = spec.eval_text is not None, spec.sampling.greedy
        self._emit(RunStarted(spec.methods, self._turns, scored=scored, greedy=greedy))
        if (unseen := unseen_measurements()) is not None:
            self._emit(Noticed(unseen))
        lock = paths.measurement_lock()
        async with measuring(lock, self._emit_waiting, lambda: self._stopped, lambda why: self._emit(Noticed(why))):
            try:
                self._restore()
                await self._describe_machine()
                await self._rounds()
                await self._check_bandwidth()
                await self._qualities()
            finally:
                await self._workers.end()
                self._save(None)
                self._writer.close()
                await asyncio.to_thread(discard_abandoned, patience_s=_KILLED_BUILD_S)
        self._emit(RunEnded(cancelled=self._stopped))

    def _restore(self) -> None:
        """Go on where the session ends: what was measured stays, what was given up stays given up."""
        if self._resume is None or self._stopped:
            return
        self._writer, n_cut = self._resume.open()
        if n_cut:
            self._emit(Noticed(f"{self._writer.path}: the last {n_cut} bytes were half a table and are cut off"))
        trials = self._resume.kept
        self._emit(RecordsRestored(trials, self._resume.quality))
        self._scored.update(record.method for record in self._resume.quality)
        for record in trials:
            self._measured[record.method].hear(record)
            if record.warmup:
                continue
            self._taken.add(Turn(record.method, record.index))
            if not record.failed:
                self._measured[record.method].add(record)
            elif ends_method(record):
                self._give_up(record)

    async def _qualities(self) -> None:
        """Score what was measured. After all trials: its work and its memory touch no figure of theirs."""
        done_with = self._scored | self._skipped | set(filter(is_control, self._measured))  # the same model again
        measured = [name for name, known in self._measured.items() if known.latest and name not in done_with]
        if self._spec.eval_text is None or not measured or self._stopped:
            return
        turns = QualityTurns(
            text=self._spec.eval_text,
            model_dir=self._model.directory,
            workers=self._workers,
            save=self._save,
            emit=self._emit,
            stopped=lambda: self._stopped,
        )
        await turns.take(measured)

    def _notice(self, notice: Noticed) -> None:
        self._emit(notice)

    def _emit_waiting(self) -> None:
        self._emit(Noticed("another tuibench measures on this machine: waiting until it has finished"))

    async def _describe_machine(self) -> None:
        header = self._writer.header
        if header.machine.read_bytes_per_s is None and (found := await self._bandwidth.take()) is not None:
            machine = msgspec.structs.replace(header.machine, read_bytes_per_s=found)
            self._writer.header = header = msgspec.structs.replace(header, machine=machine)
        self._emit(MachineDescribed(header.machine, self._spec.n_threads))

    async def _check_bandwidth(self) -> None:
        """Measure the bandwidth once more if a method read faster: something disturbed the first reading."""
        machine = self._writer.header.machine
        if machine.first_read_bytes_per_s is not None or not any(self._reads_too_fast(each) for each in self._measured):
            return
        await self._workers.end()
        if (found := await self._bandwidth.take(again=True)) is None:
            return
        machine = machine.with_second_reading(found)
        self._writer.header = msgspec.structs.replace(self._writer.header, machine=machine)
        self._save(SecondReading(read_bytes_per_s=found, measured=datetime.now(UTC)))
        self._emit(MachineDescribed(machine, self._spec.n_threads))

    def _reads_too_fast(self, method: str) -> bool:
        known, machine = self._measured[method], self._writer.header.machine
        if known.told is None or known.latest is None or not known.speeds_tps:
            return False
        found = roofline([known.told, known.latest], machine, self._spec.n_threads, median(known.speeds_tps))
        return found is not None and found.doubts_bandwidth

    async def _rounds(self) -> None:
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

    def _round(self, index: int) -> tuple[Turn, ...]:
        spec = self._spec
        if index < spec.n_trials:
            return self._planned_rounds.get(index, ())
        if spec.precision is None or index >= spec.max_trials or self._stopped:
            return ()
        unsettled = [method for method in spec.methods if not self._settled(method, spec.precision)]
        return trial_round(unsettled, index, spec.n_trials)

    def _settled(self, method: str, precision: float) -> bool:
        """Return whether more trials of a method would tell nothing new."""
        known = self._measured[method]
        return method in self._dropped or (
            known.decoded_ns / 1e9 >= self._spec.min_time_s and precise_enough(known.speeds_tps, precision=precision)
        )

    def _end_early(self, why: str, turns: Sequence[Turn]) -> None:
        self._emit(Noticed(why))
        if turns[0].index < self._spec.n_trials:  # a round that was only added when needed is not missed
            for turn in turns:
                self._drop(turn.method)

    async def _take_round(self, turns: Sequence[Turn]) -> None:
        """Take a round's trials in turns of a few tokens where their workers fit into memory together."""
        left = [turn for turn in turns if turn.method not in self._dropped and turn not in self._taken]
        if len(left) > 1 and not self._stopped and self._together(left):
            await self._interleaved(left)
            return
        for turn in turns:
            await self._turn(turn)

    def _together(self, turns: Sequence[Turn]) -> bool:
        latest = [self._measured[turn.method].latest for turn in turns]
        peaks_bytes = [record.peak_rss_bytes if record else None for record in latest]
        why_not = too_little_memory(peaks_bytes, self._model.parameters)
        if why_not is not None and why_not not in self._told:
            self._told.add(why_not)
            self._emit(Noticed(why_not))
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
        if self._stopped:
            self._drop(turn.method)
            return False
        return await self._warm_up(turn, beside=True)

    async def _step(self, turn: Turn, trials: dict[str, TrialUnderWay]) -> None:
        """Take a trial's next turn, or its first, which makes it one of the `trials`."""
        trial = trials.get(turn.method)
        if trial is not None:
            await trial.go_on()
        elif self._stopped:
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
        if turn.method in self._dropped or turn in self._taken:
            return
        if self._stopped:
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
            request = self._request(min(WARMUP_TOKENS, self._spec.max_new_tokens))
            await trial.begin(request, anew=index == 0, beside=beside)
            if not await self._keep(turn, trial.record()):
                return False
        return True

    async def _keep(self, turn: Turn, record: TrialRecord) -> bool:
        """Save a trial that is over; return whether the method goes on."""
        if record.failed and record.warmup:
            record = msgspec.structs.replace(record, index=turn.index, warmup=False)  # the turn is lost with it
        measured = self._measured[turn.method]
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
            self._skipped.add(record.method)
        self._drop(record.method)

    def _drop(self, method: str) -> None:
        self._dropped.add(method)
        self._emit(TurnsDropped(method))

    def _trial(
        self, method: str, index: int, *, fresh: bool, warmup: bool = False, anew: bool = False
    ) -> TrialUnderWay:
        n_tokens = min(WARMUP_TOKENS, self._spec.max_new_tokens) if warmup else self._spec.max_new_tokens
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
            prompt_date=self._writer.header.prompt_date,
            max_new_tokens=n_tokens,
            sampling=spec.sampling,
            turn_tokens=turn_tokens,
        )

    def _tell_doubt(self, event: Event) -> None:
        """Say once that the model does not read the prompt; each trial's record says it, too."""
        if isinstance(event, PromptTokenised) and event.doubt is not None and event.doubt not in self._told:
            self._told.add(event.doubt)
            self._emit(Noticed(event.doubt))

    def _save(self, record: TrialRecord | QualityRecord | SecondReading | None) -> None:
        """Write a record and what is pending; a full disk is told, and tried again with the next record."""
        try:
            if record is not None:
                self._writer.append(record)
            else:
                self._writer.flush()
        except OSError as error:
            why = f"{error.strerror}; results not saved yet: {remedy(error)}"
            self._emit(Noticed(f"{self._writer.path}: {why}, the next trial saves them too"))
        if self._writer.renewed():
            what = "was removed while it was measured: results from here on are in a new file of that name"
            self._emit(Noticed(f"{self._writer.path}: {what}"))
