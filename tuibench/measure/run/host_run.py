"""What a run measures on one machine: got there, locked, described, then its rounds and its scores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from tuibench.core.machine.fingerprint import MachineHeader, differences
from tuibench.core.results.comparison import compare
from tuibench.core.results.roofline import roofline
from tuibench.core.results.search import Answer, Measure, Score, next_step
from tuibench.core.run.control import is_control
from tuibench.core.run.events import FailureKind, Phase
from tuibench.core.run.host import THIS_MACHINE, host_of, on_host, without_host
from tuibench.core.run.limits import Limits
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.plan import Cell, Turn
from tuibench.core.run.record import Failure, QualityRecord, TrialRecord
from tuibench.core.run.run_events import MachineDescribed, Noticed, TurnsDropped
from tuibench.core.run.spec import RunSpec
from tuibench.measure.hosts.host import HostFacts, HostUnusableError, MeasuringHost
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.measure.run.bandwidth_turn import BandwidthTurn
from tuibench.measure.run.quality_turns import QualityTurns
from tuibench.measure.run.refusal import refuse
from tuibench.measure.run.rounds import Rounds
from tuibench.measure.run.telling import Telling
from tuibench.measure.run.worker_room import WorkerRoom
from tuibench.measure.run.workers import Workers
from tuibench.methods import exact_methods, ladder_parents
from tuibench.models.local import LocalModel
from tuibench.store.export.facts import measured_runs
from tuibench.store.redact import redact
from tuibench.store.schema import Session, SessionHeader


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where what a machine measures goes."""

    save: Callable[[TrialRecord | QualityRecord], None]
    telling: Telling
    described: Callable[[MachineHeader, int], None]
    """Told the machine, read bandwidth included, and the threads that are used of it."""
    read_again: Callable[[MachineHeader, int, int], None]
    """Told the machine with a second reading of the bandwidth, that reading, and the threads."""
    session: Callable[[], Session]
    """Returns what was measured so far, on all machines."""


class HostRun:
    """Call `take` once; `stop` and `skip` may come at any moment."""

    def __init__(
        self,
        spec: RunSpec,
        turns: Sequence[Turn],
        host: MeasuringHost,
        model: LocalModel,
        outlet: Outlet,
        *,
        limits: TimeLimits,
        header: SessionHeader,
        reads_bandwidth: bool,
    ) -> None:
        """Say what to measure where.

        Args:
            spec: The run, with this machine's rows as its methods.
            turns: That are planned of them.
            host: The machine.
            model: The model, as it is here.
            outlet: Where results go.
            limits: Time-outs.
            header: The session's.
            reads_bandwidth: Whether the machine's read bandwidth is wanted.
        """
        self._spec = spec
        self._turns = turns
        self._host = host
        self._model = model
        self._outlet = outlet
        self._limits = limits
        self._header = header
        self._reads_bandwidth = reads_bandwidth
        self._stopped = False
        self._skipped: set[str | None] = set()
        self._connecting: asyncio.Future[HostFacts] | None = None
        self._bandwidth: BandwidthTurn | None = None
        self._workers: Workers | None = None
        self._rounds: Rounds | None = None
        self._restored: tuple[TrialRecord, ...] = ()
        self._scored: set[str] = set()
        self._machine: MachineHeader | None = None
        """With its read bandwidth, as far as it is known."""

    def restore(
        self, trials: Sequence[TrialRecord], quality: Sequence[QualityRecord], machine: MachineHeader | None
    ) -> None:
        """Go on with a session; to be called before anything is measured.

        Args:
            trials: That stay.
            quality: Scores that stay.
            machine: What they were measured on.
        """
        ours = self._host.name
        self._restored = tuple(record for record in trials if host_of(record.method) == ours)
        self._scored = {record.method for record in quality if host_of(record.method) == ours}
        self._machine = machine

    def stop(self) -> None:
        """End what is under way, and let nothing begin."""
        self._stopped = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._bandwidth is not None:
            self._bandwidth.call_off()
        if self._workers is not None:
            self._workers.stop()

    def skip(self, method: str | None) -> None:
        """End a method; None is the one that has its turn."""
        if self._workers is not None:
            self._workers.skip(method)
        elif method is not None:
            self._skipped.add(method)

    async def take(self, on_locked: Callable[[], None]) -> None:
        """Measure all of it. A machine that cannot be used is a row for each of its methods, which says why.

        Args:
            on_locked: Called when nobody else measures there.
        """
        try:
            try:
                facts = await self._connected()
                if facts is None:
                    self._drop_all()
                    return
                async with self._host.measuring(lambda: self._stopped):
                    on_locked()
                    await self._measure(facts)
            except HostUnusableError as error:
                on_locked()
                self._fail_all(error)
        finally:
            if self._workers is not None:
                await self._workers.end()
            await self._host.close()

    async def _connected(self) -> HostFacts | None:
        """Return what the machine tells; None if the run was stopped meanwhile."""
        if self._stopped:
            return None
        self._connecting = asyncio.ensure_future(
            self._host.connect(lambda text: self._outlet.telling.tell(Noticed(text)))
        )
        await asyncio.wait({self._connecting})
        return None if self._connecting.cancelled() else self._connecting.result()

    async def _measure(self, facts: HostFacts) -> None:
        spec = self._on_this_machine(facts)
        directory = await self._host.model_directory(self._model)
        self._bandwidth = BandwidthTurn(
            self._host if self._reads_bandwidth else None, spec.n_threads, self._outlet.telling.tell
        )
        self._workers = workers = Workers(spec, directory, self._header.id, self._limits, self._host)
        for method in self._skipped:
            workers.skip(method)
        if self._stopped:
            self.stop()
        self._rounds = rounds = Rounds(
            spec,
            self._turns,
            workers,
            room=WorkerRoom(self._host, self._model, spec),
            prompt_date=self._header.prompt_date,
            save=self._outlet.save,
            telling=self._outlet.telling,
            stopped=lambda: self._stopped,
        )
        rounds.tally.restore(self._restored)
        await self._describe(facts, spec.n_threads)
        await rounds.take()
        if spec.limits is not None:
            await self._search(spec.limits, rounds, directory)
        await self._check_bandwidth(spec.n_threads)
        if spec.limits is None:
            await self._score(self._unscored(rounds), directory)

    def _on_this_machine(self, facts: HostFacts) -> RunSpec:
        """Return the spec with the threads that are used here.

        Raises:
            HostUnusableError: The session to go on with was measured on another machine.
        """
        name = self._host.name
        if name is None:
            return self._spec
        if self._machine is not None:
            others = [str(each) for each in differences(facts.machine, self._machine) if each.matters]
            if others:
                raise HostUnusableError(f"{name} is not what the session was measured on: {'; '.join(others)}")
        n_threads = self._spec.threads_of_hosts.get(name, facts.cpus.n_threads)
        return msgspec.structs.replace(self._spec, n_threads=n_threads)

    async def _describe(self, facts: HostFacts, n_threads: int) -> None:
        machine = self._machine or facts.machine
        if machine.read_bytes_per_s is None and self._bandwidth is not None:
            found = await self._bandwidth.take()
            machine = msgspec.structs.replace(machine, read_bytes_per_s=found)
        self._outlet.described(machine, n_threads)
        self._tell_machine(machine, n_threads)

    def _tell_machine(self, machine: MachineHeader, n_threads: int) -> None:
        self._machine = machine
        price = next((host.price_per_hour for host in self._spec.hosts if host.name == self._host.name), None)
        self._outlet.telling.tell(MachineDescribed(machine, n_threads, self._host.name, price))

    async def _check_bandwidth(self, n_threads: int) -> None:
        """Measure the bandwidth once more if a method read faster: something disturbed the first reading."""
        machine, rounds = self._machine, self._rounds
        if machine is None or rounds is None or machine.first_read_bytes_per_s is not None:
            return
        if not any(self._reads_too_fast(cell, machine, n_threads) for cell in rounds.tally.measured):
            return
        if self._workers is not None:
            await self._workers.end()
        if self._bandwidth is not None and (found := await self._bandwidth.take(again=True)) is not None:
            machine = machine.with_second_reading(found)
            self._outlet.read_again(machine, found, n_threads)
            self._tell_machine(machine, n_threads)

    def _reads_too_fast(self, cell: Cell, machine: MachineHeader, n_threads: int) -> bool:
        known = self._rounds.tally.measured[cell] if self._rounds else None
        if known is None or known.told is None or known.latest is None or not known.speeds_tps:
            return False
        found = roofline([known.told, known.latest], machine, n_threads, median(known.speeds_tps))
        return found is not None and found.doubts_bandwidth

    async def _search(self, limits: Limits, rounds: Rounds, directory: Path) -> None:
        """Measure on until it is known which method is the fastest that keeps the limits on this machine."""
        host = self._host.name
        while not self._stopped:
            (ours,) = (run for run in measured_runs(self._outlet.session()) if run.host in {None, host or THIS_MACHINE})
            run = compare([ours], parents=ladder_parents(), exact=exact_methods())
            match next_step(run, limits, given_up=set(map(without_host, rounds.tally.dropped))):
                case Measure(methods, n_rounds):
                    await rounds.take_more([on_host(method, host) for method in methods], n_rounds)
                case Score(method):
                    await self._score([on_host(method, host)], directory)
                case Answer():
                    return

    def _unscored(self, rounds: Rounds) -> list[str]:
        """Return what was measured and can be scored.

        It is scored after all trials: its work and its memory touch no figure of theirs.
        """
        known = rounds.tally.latest
        done_with = self._scored | rounds.tally.skipped | set(filter(is_control, known))  # the same model again
        measured = [name for name in self._spec.methods if name in known and name not in done_with]
        return [name for name in measured if not lacks(name, Need.PREDICTIONS)]

    async def _score(self, methods: Sequence[str], directory: Path) -> None:
        if self._workers is None or self._spec.eval_text is None or not methods or self._stopped:
            return
        turns = QualityTurns(
            text=self._spec.eval_text,
            model_dir=directory,
            workers=self._workers,
            save=self._outlet.save,
            emit=self._outlet.telling.tell,
            stopped=lambda: self._stopped,
            window_tokens=self._spec.sweep.window_tokens if self._spec.sweep is not None else None,
        )
        await turns.take(methods)

    def _drop_all(self) -> None:
        for method in self._spec.methods:
            self._outlet.telling.tell(TurnsDropped(method))

    def _fail_all(self, error: HostUnusableError) -> None:
        """Let each method that nothing was measured of say why; the others have what they have."""
        self._outlet.telling.tell(Noticed(str(error)))
        why = redact(error.shareable, self._host.private_words)
        failure = Failure(kind=FailureKind.DISCONNECTED, phase=Phase.QUEUED, message=why)
        for method in self._spec.methods:
            left = [turn for turn in self._turns if turn.method == method]
            measured = self._rounds is not None and method in self._rounds.tally.latest
            if not measured and not any(record.method == method for record in self._restored):
                for turn in {turn.shape: turn for turn in reversed(left)}.values():  # the first of each cell
                    refuse(turn, failure, self._outlet.telling, self._outlet.save)
        self._drop_all()
