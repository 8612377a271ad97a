"""A whole run: the machine, the rounds, the scores, each record saved as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.run.host import host_of, hosts_of
from tuibench.core.run.plan import Turn, sweep_order, trial_order
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.run_events import (
    Noticed,
    RecordsRestored,
    RunEnded,
    RunStarted,
)
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.state import Folded
from tuibench.measure.hosts.another_machine import AnotherMachine
from tuibench.measure.hosts.host import MeasuringHost
from tuibench.measure.hosts.this_machine import ThisMachine
from tuibench.measure.process.supervisor import WORKER_COMMAND
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.measure.run.host_run import HostRun, Outlet
from tuibench.measure.run.resume import Continuation
from tuibench.measure.run.session_start import session_path, start_header
from tuibench.measure.run.telling import Telling
from tuibench.models.artifacts import discard_abandoned
from tuibench.models.local import LocalModel
from tuibench.store.append import remedy
from tuibench.store.schema import HostRecord, SecondReading, Session
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
        keeps_records: bool = True,
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
            keeps_records: As in `RunState`.
        """
        self._spec = spec
        self._telling = Telling(keeps_records=keeps_records)
        self._turns = resume.session.header.settings.turns() if resume else _planned(spec)
        self._resume = resume
        header = resume.session.header if resume else start_header(spec, model, self._turns)
        self._writer = SessionWriter(resume.path if resume else session_path(header, sessions), header)
        self._unsaved_hosts: dict[str, HostRecord] = {}
        """Described, with nothing measured on them yet."""
        self._headed = False
        self._stopped = False
        self._restored = resume is None
        limits = limits or (TimeLimits.uniform(spec.timeout_s) if spec.timeout_s else TimeLimits())
        here = ThisMachine(worker_command, bandwidth) if bandwidth else ThisMachine(worker_command)
        hosts: dict[str | None, MeasuringHost] = {None: here} | {host.name: AnotherMachine(host) for host in spec.hosts}
        self._host_runs = {
            name: HostRun(
                msgspec.structs.replace(spec, methods=tuple(row for row in spec.methods if host_of(row) == name)),
                tuple(turn for turn in self._turns if host_of(turn.method) == name),
                hosts[name],
                model,
                Outlet(
                    self._save,
                    self._telling,
                    partial(self._described, name),
                    partial(self._read_again, name),
                    self.session,
                ),
                limits=limits,
                header=header,
                reads_bandwidth=bandwidth is not None,
            )
            for name in hosts_of(spec.methods)
        }

    @property
    def n_unsaved(self) -> int:
        """Records that could not be written so far."""
        return self._writer.n_pending

    @property
    def session_path(self) -> Path | None:
        """The session file; None until it exists."""
        return self._writer.path if self._writer.created else None

    @property
    def session_file(self) -> Path:
        """Where the session goes, whether it exists yet or not."""
        return self._writer.path

    def session(self) -> Session:
        """Return everything measured so far, whether the disk has it or not.

        Raises:
            SessionError: The session file cannot be read.
        """
        return self._writer.session()

    def stop(self) -> None:
        """End the run: the trials under way are cancelled, everything finished stays saved."""
        self._stopped = True
        for run in self._host_runs.values():
            run.stop()

    def skip(self, method: str | None = None) -> None:
        """End a method and go on with the others: nothing more of it is measured or scored.

        Args:
            method: By default the one that has its turn; of several machines, on each.
        """
        for name, run in self._host_runs.items():
            if method is None or host_of(method) == name:
                run.skip(method)

    async def events(self) -> AsyncGenerator[Folded]:
        """Measure, and yield what happens. Closing the iterator ends the worker and the run."""
        run = asyncio.create_task(self._run())
        run.add_done_callback(lambda _: self._telling.end())
        try:
            while (folded := await self._telling.next()) is not None:
                yield folded
            await run
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run

    async def _run(self) -> None:
        spec = self._spec
        scored, greedy = spec.eval_text is not None, spec.sampling.greedy
        self._telling.tell(RunStarted(spec.methods, self._turns, scored=scored, greedy=greedy))
        try:
            # This machine comes last: to follow the others takes a part of it.
            await self._take(run for name, run in self._host_runs.items() if name is not None)
            await self._take(run for name, run in self._host_runs.items() if name is None)
        finally:
            self._save(None)
            self._writer.close()
            await asyncio.to_thread(discard_abandoned, patience_s=_KILLED_BUILD_S)
        self._telling.tell(RunEnded(cancelled=self._stopped))

    async def _take(self, runs: Iterable[HostRun]) -> None:
        """Measure on several machines at the same time."""
        taking = [asyncio.create_task(run.take(self._restore)) for run in runs]
        try:
            await asyncio.gather(*taking)
        finally:
            for each in taking:
                each.cancel()
            await asyncio.gather(*taking, return_exceptions=True)

    def _restore(self) -> None:
        """Go on where the session ends: what was measured stays, what was given up stays given up."""
        if self._restored or self._resume is None or self._stopped:
            return
        self._restored = True
        self._writer, n_cut = self._resume.open()
        if n_cut:
            self._telling.tell(
                Noticed(f"{self._writer.path}: the last {n_cut} bytes were half a table and are cut off")
            )
        trials, quality = self._resume.kept, self._resume.quality
        self._telling.tell(RecordsRestored(trials, quality))
        session = self._resume.session
        for name, run in self._host_runs.items():
            known = session.header.machine if name is None else None
            if name is not None and name in session.hosts:
                known = session.hosts[name].machine
            run.restore(trials, quality, known)

    def _described(self, host: str | None, machine: MachineHeader, n_threads: int) -> None:
        """Note what is measured on before its first result; the first machine heads the file where this is none."""
        header = self._writer.header
        if host is not None:
            self._unsaved_hosts[host] = self._host_record(host, machine, n_threads)
            if None in self._host_runs or self._headed:
                return
            settings = msgspec.structs.replace(header.settings, n_threads=n_threads)
            header = msgspec.structs.replace(header, settings=settings)
        self._headed = True
        if self._resume is None:
            self._writer.header = msgspec.structs.replace(header, machine=machine)

    def _read_again(self, host: str | None, machine: MachineHeader, read_bytes_per_s: int, n_threads: int) -> None:
        """Note a second reading of a machine's bandwidth, which is higher or not."""
        if host is not None:
            self._save(self._host_record(host, machine, n_threads))
            return
        self._writer.header = msgspec.structs.replace(self._writer.header, machine=machine)
        self._save(SecondReading(read_bytes_per_s=read_bytes_per_s, measured=datetime.now(UTC)))

    def _host_record(self, name: str, machine: MachineHeader, n_threads: int) -> HostRecord:
        price = next(host.price_per_hour for host in self._spec.hosts if host.name == name)
        return HostRecord(name=name, n_threads=n_threads, price_per_hour=price, machine=machine, told=datetime.now(UTC))

    def _save(self, record: TrialRecord | QualityRecord | SecondReading | HostRecord | None) -> None:
        """Write a record and what is pending; a full disk is told, and tried again with the next record."""
        host = host_of(record.method) if isinstance(record, TrialRecord) else None
        if host is not None and (described := self._unsaved_hosts.pop(host, None)) is not None:
            self._save(described)
        try:
            if record is not None:
                self._writer.append(record)
            else:
                self._writer.flush()
        except OSError as error:
            why = f"{error.strerror}; results not saved yet: {remedy(error)}"
            self._telling.tell(Noticed(f"{self._writer.path}: {why}, the next trial saves them too"))
        if self._writer.renewed():
            what = "was removed while it was measured: results from here on are in a new file of that name"
            self._telling.tell(Noticed(f"{self._writer.path}: {what}"))


def _planned(spec: RunSpec) -> tuple[Turn, ...]:
    """Return the turns of a run, machine by machine: what one of them does meanwhile is not shared by another."""
    rows = {name: [row for row in spec.methods if host_of(row) == name] for name in hosts_of(spec.methods)}
    shapes = spec.sweep.shapes() if spec.sweep is not None else ()
    return tuple(
        turn
        for of_host in rows.values()
        for turn in (sweep_order(of_host, shapes, spec.n_trials) if shapes else trial_order(of_host, spec.n_trials))
    )
