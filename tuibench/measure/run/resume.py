"""Going on with a run that was cut short: which session, which of its trials stay, and whether it may go on here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import tuibench
from tuibench.core.machine.fingerprint import differences
from tuibench.core.run.host import hosts_of
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.resume import kept
from tuibench.core.run.spec import EvalText, RunSpec
from tuibench.machine.fingerprint import machine_header
from tuibench.measure.run.commit import running_commit
from tuibench.measure.run.session_start import calibration_sha256, eval_sha256, text_sha256
from tuibench.models.local import LocalModel
from tuibench.store.append import opened
from tuibench.store.schema import Resumption, Session, SessionError, SessionHeader
from tuibench.store.session import load, whole_bytes
from tuibench.store.under_way import is_measured
from tuibench.store.writer import SessionWriter


@dataclass(frozen=True, slots=True)
class Continuation:
    """A session that a run goes on with."""

    path: Path
    n_bytes: int
    """Its size when it was read."""
    session: Session
    retry_failed: bool

    @classmethod
    def read(cls, path: Path, *, retry_failed: bool) -> Self:
        """Read a session to go on with.

        Raises:
            SessionError: It cannot be read.
        """
        n_bytes = path.stat().st_size if path.is_file() else 0  # before it is read: what comes later is noticed
        return cls(path, n_bytes, load(path), retry_failed)

    @property
    def kept(self) -> tuple[TrialRecord, ...]:
        """The trials that stay; all other turns are taken."""
        methods = self.session.header.settings.methods
        known = [record for record in self.session.trials if record.method in methods]
        return kept(known, retry_failed=self.retry_failed)

    @property
    def quality(self) -> tuple[QualityRecord, ...]:
        """The scores that stay."""
        methods = self.session.header.settings.methods
        return tuple(record for record in self.session.quality if not record.failed and record.method in methods)

    def open(self) -> tuple[SessionWriter, int]:
        """Return what writes to the file from here on, and how many bytes of half a table were cut off its end.

        Nobody else may be measuring.

        Raises:
            SessionError: The file has changed since it was read, cannot be written, or another machine measures it.
        """
        if is_measured(self.path):
            raise SessionError(f"{self.path}: another tuibench measures it: resume it when that has finished")
        try:
            with opened(self.path) as descriptor:
                if os.fstat(descriptor).st_size != self.n_bytes:
                    raise SessionError(f"{self.path}: has changed since it was read: resume it again")
                n_whole = whole_bytes(self.path)
                if n_whole < self.n_bytes:
                    os.ftruncate(descriptor, n_whole)
                    os.fsync(descriptor)
        except OSError as error:
            raise SessionError(f"{self.path}: cannot be written: {error.strerror}") from error
        resumption = Resumption(
            n_trials=len(self.session.trials) + len(self.session.superseded),
            retry_failed=self.retry_failed,
            tuibench_version=tuibench.__version__,
            tuibench_commit=running_commit(),
            resumed=datetime.now(UTC).replace(microsecond=0),
        )
        return SessionWriter.reopen(self.path, self.session.header, resumption), self.n_bytes - n_whole


def resumed_spec(header: SessionHeader, *, model: str, eval_text: EvalText | None, timeout_s: float | None) -> RunSpec:
    """Return the run that a session was measured for.

    Args:
        header: The session's.
        model: How the model is called here.
        eval_text: What quality is measured on; not part of what must be the same.
        timeout_s: Likewise.
    """
    settings = header.settings
    return RunSpec(
        model=model,
        methods=settings.methods,
        prompt=settings.prompt,
        raw=settings.raw,
        prompt_date=header.prompt_date,
        max_new_tokens=settings.max_new_tokens,
        n_trials=settings.n_trials,
        precision=settings.precision,
        max_trials=settings.max_trials or settings.n_trials,
        min_time_s=settings.min_time_s or 0.0,
        budget_s=settings.budget_s,
        n_warmup=settings.n_warmup,
        n_threads=settings.n_threads,
        sampling=settings.sampling,
        endpoints=settings.endpoints,
        sweep=settings.sweep.axes if settings.sweep else None,
        eval_text=eval_text,
        timeout_s=timeout_s,
        name=header.name,
        limits=settings.limits,
        staggered=settings.staggered,
        ttft_limit_ns=settings.ttft_limit_ns,
        tpot_limit_ns=settings.tpot_limit_ns,
    )


def threads_of_hosts(session: Session) -> dict[str, int]:
    """Return the threads on each other machine: as measured, or where it was never reached as asked for."""
    asked = session.header.settings.n_threads_of_hosts
    others = [name for name in hosts_of(session.header.settings.methods) if name is not None]
    wanted = dict.fromkeys(others, asked) if asked is not None else {}
    return wanted | {name: host.n_threads for name, host in session.hosts.items()}


def other_texts(header: SessionHeader, spec: RunSpec) -> Iterator[str]:
    """Yield which texts of a run that goes on are not those that the session was measured with."""
    settings = header.settings
    scored_on = eval_sha256(spec)
    if settings.eval_sha256 and scored_on and settings.eval_sha256 != scored_on:
        yield f"its quality was measured on the text {settings.eval_name}; give the same --eval-file, or --no-quality"
    sweep, cut_from = settings.sweep, text_sha256(spec.running_text)
    if sweep is not None and sweep.text_sha256 != cut_from:
        yield f"its prompts were cut from the text {sweep.text_name}; give the same --eval-file"
    calibrated = (settings.calibration_sha256, settings.calibration_ranges)
    if calibrated != (calibration_sha256(spec), spec.calibration.ranges):
        yield "it was calibrated otherwise; give the same --calibration and --calibration-ranges"


def obstacles(session: Session, model: LocalModel) -> Iterator[str]:
    """Yield why new trials would not be comparable with a session's, one reason each; none if it may go on."""
    header = session.header
    if session.newer:
        yield "a newer tuibench wrote it"
    if header.tuibench_version != tuibench.__version__:
        yield f"tuibench {header.tuibench_version} measured it, this is {tuibench.__version__}"
    if header.model.digest != model.digest:
        yield f"its model {header.model.name} has other weights than {model.name} here (SHA-256 differs)"
    here = None in hosts_of(header.settings.methods)  # other machines are held against theirs when they are reached
    for difference in differences(machine_header(), header.machine) if here else ():
        if difference.matters:
            yield f"{'other software' if difference.software else 'another machine'}: {difference}"
