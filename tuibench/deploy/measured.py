"""What was measured of a method, for the README of its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tuibench import paths
from tuibench.core.present.columns import comparison_columns, filled
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.row import Row
from tuibench.core.run.host import THIS_MACHINE, without_host
from tuibench.core.run.spec import Calibration
from tuibench.deploy.methods import CALIBRATED
from tuibench.models.local import LocalModel
from tuibench.store.catalogue import list_sessions
from tuibench.store.export.markdown import escaped
from tuibench.store.schema import Session, SessionError
from tuibench.store.session import load
from tuibench.store.side_by_side import side_by_side

_LEFT_OUT = frozenset({"session", "model", "method", "digest", "tuibench", "pareto", "first"})
"""Columns that say nothing about a single row, or what the README says elsewhere."""


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """A method's row of one session."""

    lines: tuple[str, ...]
    """Markdown."""
    n_threads: int
    decode_tps: float | None
    """Tokens per second, the median; None where it was measured on another machine, too."""


def newest_row(method: str, model: LocalModel, calibration: Calibration) -> MeasuredRow | None:
    """Return the row of the user's newest session that measured this method on this model; None where none has."""
    for summary in list_sessions((paths.sessions_dir(),), index=paths.session_index()):
        if summary.model != model.name or method not in summary.decode_tps:
            continue
        try:
            session = load(summary.path)
        except SessionError:  # removed meanwhile
            continue
        if why_not_its_row(session, method, model, calibration) is None:
            return row_of(summary.path, session, method)
    return None


def why_not_its_row(session: Session, method: str, model: LocalModel, calibration: Calibration) -> str | None:
    """Return why a session says nothing about a method's files; None where it does."""
    header = session.header
    if header.model.digest != model.digest:
        return f"it measured other weights ({header.model.name}) than those of {model.name}"
    measured = (without_host(trial.method) for trial in session.trials if not trial.warmup and not trial.failed)
    if method not in measured:
        return f"it has no measured trial of {method}"
    measured_with = (header.settings.calibration_sha256, header.settings.calibration_ranges)
    if method in CALIBRATED and measured_with != (_sha256(calibration), calibration.ranges):
        return f"{method} was calibrated otherwise in it; say how with --calibration and --calibration-ranges"
    return None


def row_of(path: Path, session: Session, method: str) -> MeasuredRow:
    """Return a method's row of a session that has one."""
    comparison = side_by_side([(path, session)]).comparison
    rows = [row for row in comparison.rows if row.method == method and row.n_trials]
    # Of a sweep, the first shape that it was measured under; of several machines, this one where it took part.
    row = next((row for row in rows if comparison.runs[row.run].where == THIS_MACHINE), rows[0])
    run, lines = comparison.runs[row.run], tuple(_lines(session, comparison, row))
    return MeasuredRow(lines, run.n_threads, row.median(DECODE) if run.where == THIS_MACHINE else None)


def _lines(session: Session, comparison: Comparison, row: Row) -> Iterator[str]:
    header, run = session.header, comparison.runs[row.run]
    where = "" if run.where == THIS_MACHINE else f" and the machine {escaped(run.where)}"
    version = escaped(header.tuibench_version)
    yield f"On {header.created:%Y-%m-%d}{where}, tuibench {version}, session {escaped(header.id)}:"
    yield ""
    yield "| what | value |"
    yield "| :-- | :-- |"
    for column in filled(comparison_columns(comparison), comparison, [row]):
        if column.id not in _LEFT_OUT:
            yield f"| {escaped(column.heading)} | {escaped(column.cell(comparison, row))} |"
    for doubt in row.flags:
        yield f"\nIn doubt: {escaped(doubt)}."


def _sha256(calibration: Calibration) -> str | None:
    """Return the digest of the user's calibration text; None for the one that ships."""
    return None if calibration.file is None else hashlib.sha256(Path(calibration.file).read_bytes()).hexdigest()
