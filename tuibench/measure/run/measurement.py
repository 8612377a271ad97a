"""A whole run: the machine, the rounds, the scores, each record saved as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from tuibench import paths
from tuibench.core.results.comparison import compare
from tuibench.core.results.roofline import roofline
from tuibench.core.results.search import Answer, Measure, Score, next_step
from tuibench.core.run.control import is_control
from tuibench.core.run.endpoint import is_endpoint
from tuibench.core.run.limits import Limits
from tuibench.core.run.plan import Cell, Turn, sweep_order, trial_order
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.run_events import (
    MachineDescribed,
    Noticed,
    RecordsRestored,
    RunEnded,
    RunEvent,
    RunStarted,
)
from tuibench.core.run.spec import RunSpec
from tuibench.machine.lock import measuring, unseen_measurements
from tuibench.measure.process.supervisor import WORKER_COMMAND
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.measure.process.workers import Workers
from tuibench.measure.run.bandwidth_turn import BandwidthTurn
from tuibench.measure.run.quality_turns import QualityTurns
from tuibench.measure.run.resume import Continuation
from tuibench.measure.run.rounds import Rounds
from tuibench.measure.run.session_start import session_path, start_header
from tuibench.methods import exact_methods, ladder_parents
from tuibench.models.artifacts import discard_abandoned
from tuibench.models.local import LocalModel
from tuibench.store.append import remedy
from tuibench.store.export.facts import measured_run
from tuibench.store.schema import SecondReading, Session
from tuibench.store.writer import SessionWriter

_KILLED_BUILD_S = 2
"""A build that was killed with its worker is gone after this: what it left is removed with the run's end."""


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
        self._bandwidth = BandwidthTurn(bandwidth, spec.n_threads, self._tell)
        limits = limits or (TimeLimits.uniform(spec.timeout_s) if spec.timeout_s else TimeLimits())
        self._turns = resume.session.header.settings.turns() if resume else _planned(spec)
        self._resume = resume
        header = resume.session.header if resume else start_header(spec, model, self._turns)
        self._writer = SessionWriter(resume.path if resume else session_path(header, sessions), header)
        self._scored: set[str] = set()
        self._workers = Workers(spec, model.directory, self._writer.path.stem, limits, worker_command)
        self._stopped = False
        self._rounds = Rounds(
            spec,
            self._turns,
            self._workers,
            parameters=model.parameters,
            prompt_date=header.prompt_date,
            save=self._save,
            emit=self._tell,
            stopped=lambda: self._stopped,
        )
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
                await self._rounds.take()
                if spec.limits is not None:
                    await self._search(spec.limits)
                await self._check_bandwidth()
                if spec.limits is None:
                    await self._score(self._unscored())
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
        self._rounds.restore(trials)

    async def _search(self, limits: Limits) -> None:
        """Measure on until it is known which method is the fastest that keeps the limits."""
        while not self._stopped:
            run = compare([measured_run(self._writer.session())], parents=ladder_parents(), exact=exact_methods())
            match next_step(run, limits, given_up=self._rounds.dropped):
                case Measure(methods, n_rounds):
                    await self._rounds.take_more(methods, n_rounds)
                case Score(method):
                    await self._score([method])
                case Answer():
                    return

    def _unscored(self) -> list[str]:
        """Return what was measured and can be scored.

        It is scored after all trials: its work and its memory touch no figure of theirs.
        """
        known = self._rounds.latest
        done_with = self._scored | self._rounds.skipped | set(filter(is_control, known))  # the same model again
        done_with |= set(filter(is_endpoint, known))  # they hand out text, and no predictions
        return [name for name in self._spec.methods if name in known and name not in done_with]

    async def _score(self, methods: Sequence[str]) -> None:
        if self._spec.eval_text is None or not methods or self._stopped:
            return
        turns = QualityTurns(
            text=self._spec.eval_text,
            model_dir=self._model.directory,
            workers=self._workers,
            save=self._save,
            emit=self._emit,
            stopped=lambda: self._stopped,
        )
        await turns.take(methods)

    def _tell(self, event: RunEvent) -> None:
        self._emit(event)

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
        if machine.first_read_bytes_per_s is not None or not any(map(self._reads_too_fast, self._rounds.measured)):
            return
        await self._workers.end()
        if (found := await self._bandwidth.take(again=True)) is None:
            return
        machine = machine.with_second_reading(found)
        self._writer.header = msgspec.structs.replace(self._writer.header, machine=machine)
        self._save(SecondReading(read_bytes_per_s=found, measured=datetime.now(UTC)))
        self._emit(MachineDescribed(machine, self._spec.n_threads))

    def _reads_too_fast(self, cell: Cell) -> bool:
        known, machine = self._rounds.measured[cell], self._writer.header.machine
        if known.told is None or known.latest is None or not known.speeds_tps:
            return False
        found = roofline([known.told, known.latest], machine, self._spec.n_threads, median(known.speeds_tps))
        return found is not None and found.doubts_bandwidth

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


def _planned(spec: RunSpec) -> tuple[Turn, ...]:
    if spec.sweep is None:
        return trial_order(spec.methods, spec.n_trials)
    return sweep_order(spec.methods, spec.sweep.shapes(), spec.n_trials)
