"""The one structure behind every table, plot and verdict: what each method of each run achieved, and against what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tuibench.core.results.drift import Drift
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.method_trials import MethodTrials, by_method, drift_of_run, ratio_within_run
from tuibench.core.results.metrics import TOKENS_PER_STEP, Metric
from tuibench.core.results.observer import observer_share
from tuibench.core.results.row import Row
from tuibench.core.results.rows_of_run import RowsOfRun
from tuibench.core.results.rungs import default_yardstick
from tuibench.core.run.events import FailureKind
from tuibench.core.run.host import THIS_MACHINE, on_host
from tuibench.core.run.needs import Need
from tuibench.core.run.record import TrialRecord
from tuibench.core.statistics.stats import Ratio


@dataclass(frozen=True, slots=True)
class Comparison:
    """Any number of runs, row by row."""

    runs: tuple[MeasuredRun, ...]
    rows: tuple[Row, ...]
    """Run by run, in the order of its methods."""
    yardstick: str | None
    """The method that `Row.against_yardstick` refers to; None where nothing was measured."""
    drifts: tuple[Drift | None, ...]
    """Of each run."""
    measured: tuple[Mapping[str, MethodTrials], ...]
    """Of each run, what was measured of its methods; a method without a measured trial is missing."""

    def tells(self, metric: Metric) -> bool:
        """Return whether some run may tell a metric by what was asked of it, whatever came out."""
        return Need.SEVERAL_USERS not in metric.needs or self.has(Need.SEVERAL_USERS)

    def has(self, need: Need) -> bool:
        """Return whether some run has what is needed of runs; what is needed of methods, `lacks` answers."""
        match need:
            case Need.SEVERAL_USERS:
                return any(run.shape is not None and run.shape.n_users > 1 for run in self.runs)
            case Need.COMPARED_PREDICTIONS:
                return any(row.kld is not None for row in self.rows)
            case Need.GUESSES:
                return any(TOKENS_PER_STEP.id in row.metrics for row in self.rows)
            case _:
                return True

    def held_against(self, run: int) -> int:
        """Return the first run of the same shape on the same machine, or where there is none before it, on any."""
        return _first_alike(self.runs, run)

    def of_run(self, run: int) -> tuple[Row, ...]:
        """Return the rows of one run."""
        return tuple(row for row in self.rows if row.run == run)

    def observer_share(self, run: int, method: str | None = None) -> float | None:
        """Return what watching a run, or one of its methods, used of the CPUs; None where that was not recorded."""
        found = self.runs[run]
        measured = (each for each in found.trials if not each.warmup and method in {None, each.method})
        return observer_share(measured, found.machine.capacity_cpus) if found.machine else None

    def speed_ratio(self, run: int, ours: str, theirs: str) -> Ratio | None:
        """Return the ratio of decode speeds of any two methods of one run; None where either has none."""
        measured = self.measured[run]
        return ratio_within_run(measured.get(ours, MethodTrials()), measured.get(theirs, MethodTrials()))

    def name(self, row: Row) -> str:
        """Return what a row is called among those of all machines of its run."""
        host = self.runs[row.run].host
        return on_host(row.method, None if host == THIS_MACHINE else host)

    def tried(self, runs: Iterable[int]) -> tuple[int, ...]:
        """Return those of some runs that were measured or failed, all of them where none was.

        What a stopped session did not come to is known by its name only.
        """
        of_each = {number: self.runs[number].trials for number in runs}
        tried = tuple(number for number, trials in of_each.items() if any(map(_tells, trials)))
        return tried or tuple(of_each)

    def row(self, run: int, method: str) -> Row | None:
        """Return the row of a method in a run."""
        return next((row for row in self.rows if (row.run, row.method) == (run, method)), None)


class UnknownYardstickError(ValueError):
    """A yardstick was asked for that no run measured."""


def compare(
    runs: Sequence[MeasuredRun],
    *,
    parents: Mapping[str, str | None],
    exact: Collection[str] = (),
    yardstick: str | None = None,
) -> Comparison:
    """Compare all methods of all runs.

    Args:
        runs: The first is what the others are compared with.
        parents: The ladder: each method's next rung down; None for the lowest.
        exact: Methods that promise the reference's model, bit by bit or nearly so; those that break it are marked.
        yardstick: The method that all others are compared with; by default the FP32 reference where it was measured,
            else the first method that has no lower rung.

    Raises:
        UnknownYardstickError: No run has a successful trial of `yardstick`.
    """
    measured = [by_method(run.trials, run.resumed) for run in runs]
    if yardstick is not None and not any(yardstick in methods for methods in measured):
        known = ", ".join(dict.fromkeys(method for methods in measured for method in methods))
        raise UnknownYardstickError(f"yardstick {yardstick!r} was not measured; measured: {known or 'nothing'}")
    yardstick = yardstick or default_yardstick((method for methods in measured for method in methods), parents)
    rows: list[Row] = []
    for number, run in enumerate(runs):
        first = _first_alike(runs, number)
        held_against = measured[first] if first != number else None
        rows += RowsOfRun(number, run, measured[number], held_against, parents, exact, yardstick).rows()
    return Comparison(
        tuple(runs),
        tuple(rows),
        yardstick,
        tuple(drift_of_run(run.trials, trials) for run, trials in zip(runs, measured, strict=True)),
        tuple(measured),
    )


def _tells(record: TrialRecord) -> bool:
    return record.failure_kind is not FailureKind.CANCELLED if record.failed else not record.warmup


def _first_alike(runs: Sequence[MeasuredRun], run: int) -> int:
    alike = [number for number, other in enumerate(runs) if other.shape == runs[run].shape]
    return next((number for number in alike if number < run and runs[number].where == runs[run].where), alike[0])
