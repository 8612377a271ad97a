"""What a sweep or several machines show: who wins where, where the winner changes, and how many threads help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

from tuibench.core.results.comparison import Comparison
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.metrics import DECODE, GOODPUT, OUTPUT, TOTAL_DECODE, TTFT, Metric
from tuibench.core.results.row import Row
from tuibench.core.run.control import is_control
from tuibench.core.run.shape import Shape, swept_axes
from tuibench.core.statistics.stats import Estimate, Outcome, Ratio, ratio_by_round

_WIDE_RANGE = 8
"""Times the lowest value of an axis."""
_SWEPT_METRICS = (DECODE, TTFT, OUTPUT, TOTAL_DECODE, GOODPUT)

_HELPS = 1.05
"""Less than this factor is no reason to give a method more threads."""


@dataclass(frozen=True, slots=True)
class Winner:
    """Who is best under one shape."""

    method: str
    """The one with the best median."""
    not_apart: tuple[str, ...] = ()
    """Those that it is not told apart from, too few trials included."""

    @property
    def sure(self) -> bool:
        """Whether it beats each of the others.

        Each of these comparisons must hold by itself at 95 %, which needs no correction for their number: to be best
        falsely, it would have to be falsely better than the one that really is.
        """
        return not self.not_apart


@dataclass(frozen=True, slots=True)
class Line:
    """The cells of a sweep in which only one axis changes."""

    axis: str
    runs: tuple[int, ...]
    """Into `Comparison.runs`, by rising value."""
    values: tuple[int, ...]
    """Of the axis, of each run."""
    rest: Mapping[str, int]
    """What the other swept axes are fixed at; empty where only one is swept."""
    host: str | None = None
    """The machine that the cells are of; None where all are of one."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where one winner gives way to another along a line."""

    line: Line
    metric: Metric
    before: str
    after: str
    last: int
    """The highest value at which `before` is surely best."""
    first: int
    """The lowest one from which on `after` is."""
    at: float | None
    """Where their medians are equal, interpolated between neighbours on logarithms; None where they are not."""


@dataclass(frozen=True, slots=True)
class Knee:
    """How many threads a method makes use of."""

    line: Line
    method: str
    n_threads: int
    """The fewest with which it is about as fast as with any number that was measured."""
    gain: Ratio | None
    """Over the fewest that were measured; None where those are the knee."""
    n_fewest: int
    more: Ratio | None
    """What the next larger number would bring; None where none was measured."""
    mbu: float | None
    """Share of the machine's read bandwidth at the knee."""


def swept_metrics(comparison: Comparison) -> tuple[Metric, ...]:
    """Return what curves and maps are made of."""
    return tuple(filter(comparison.tells, _SWEPT_METRICS))


def sweep_runs(comparison: Comparison) -> tuple[int, ...]:
    """Return the runs that are parts of the first sweep, machine by machine; empty where there is none."""
    return _cells(comparison, lambda run: run.shape is not None)


def map_runs(comparison: Comparison) -> tuple[int, ...]:
    """Return the runs that a map has a row for: the parts of a sweep, or else the machines of a run on several."""
    return sweep_runs(comparison) or _cells(comparison, lambda run: run.host is not None)


def _cells(comparison: Comparison, is_cell: Callable[[MeasuredRun], bool]) -> tuple[int, ...]:
    seen: dict[tuple[str, Shape | None], int] = {}
    for number, run in enumerate(comparison.runs):
        if is_cell(run):
            seen.setdefault((run.where, run.shape), number)
    return tuple(seen.values()) if len(seen) > 1 else ()


def contestants(comparison: Comparison, run: int) -> dict[str, Row]:
    """Return the rows that may win: no second measurement of the same, none that is another model than it promises."""
    rows = comparison.of_run(run)
    return {row.method: row for row in rows if row.n_trials and not is_control(row.method) and not row.not_same_model}


def winner(comparison: Comparison, run: int, metric: Metric) -> Winner | None:
    """Return who is best under one shape; None where nothing was measured."""
    rows = contestants(comparison, run)
    medians = {name: value for name, row in rows.items() if (value := row.median(metric)) is not None}
    if not medians:
        return None
    best = (max if metric.larger_is_better else min)(medians, key=medians.__getitem__)
    wanted = Outcome.GREATER if metric.larger_is_better else Outcome.LESS
    measured = comparison.runs[run]
    others = (name for name in medians if name != best)
    ratios = {name: metric_ratio(metric, (measured, best), (measured, name)) for name in others}
    return Winner(best, tuple(name for name, ratio in ratios.items() if ratio is None or ratio.outcome is not wanted))


def metric_ratio(metric: Metric, ours: tuple[MeasuredRun, str], theirs: tuple[MeasuredRun, str]) -> Ratio | None:
    """Return the ratio of a metric of two methods or shapes of one session, round by round; None without any."""
    our_values, their_values = _by_round(metric, *ours), _by_round(metric, *theirs)
    rounds = sorted(our_values.keys() & their_values.keys())
    return ratio_by_round([our_values[index] for index in rounds], [their_values[index] for index in rounds])


def _by_round(metric: Metric, run: MeasuredRun, method: str) -> dict[int, float]:
    records = (each for each in run.trials if each.method == method and not each.warmup and not each.failed)
    values = ((each.index, metric.compute(each)) for each in records)
    return {index: value for index, value in values if value is not None}


def lines(comparison: Comparison) -> list[Line]:
    """Return every way to walk through what was tried of a sweep along one of its axes, on each machine."""
    runs = {
        number: shape for number in comparison.tried(sweep_runs(comparison)) if (shape := comparison.runs[number].shape)
    }
    axes, hosts = swept_axes(tuple(runs.values())), {number: comparison.runs[number].host for number in runs}
    on_several = len(set(hosts.values())) > 1
    found: list[Line] = []
    for axis in axes:
        others = [name for name in axes if name != axis]
        groups: dict[tuple[str | None, tuple[int, ...]], list[int]] = {}
        for number, shape in runs.items():
            fixed = tuple(getattr(shape, name) for name in others)
            groups.setdefault((hosts[number], fixed), []).append(number)
        groups = {place: numbers for place, numbers in groups.items() if len(numbers) > 1}
        for (host, fixed), numbers in groups.items():
            ordered = tuple(sorted(numbers, key=lambda number, axis=axis: getattr(runs[number], axis)))  # type: ignore[misc]
            values = tuple(getattr(runs[number], axis) for number in ordered)
            rest = dict(zip(others, fixed, strict=True))
            found.append(Line(axis, ordered, values, rest, host if on_several else None))
    return found


def curve(comparison: Comparison, line: Line, method: str, metric: Metric) -> list[tuple[int, Estimate]]:
    """Return a method's figure at each value of an axis; values where it was not measured are left out."""
    points = []
    for number, value in zip(line.runs, line.values, strict=True):
        row = comparison.row(number, method)
        if row is not None and (found := row.metrics.get(metric.id)) is not None:
            points.append((value, found))
    return points


def is_wide(low: int, high: int) -> bool:
    """Return whether an axis from one swept value to another is to be logarithmic."""
    return low > 0 and high / low >= _WIDE_RANGE


def crossings(comparison: Comparison, line: Line, metric: Metric) -> list[Crossing]:
    """Return where the winner changes along a line, told by the cells in which it is sure."""
    winners = [(number, winner(comparison, number, metric)) for number in line.runs]
    sure = [(at, found.method) for at, (_, found) in enumerate(winners) if found is not None and found.sure]
    found = []
    for (i, before), (j, after) in pairwise(sure):
        if before != after:
            at = _equal_at(comparison, line, (before, after), metric, (i, j))
            found.append(Crossing(line, metric, before, after, line.values[i], line.values[j], at))
    return found


def _equal_at(
    comparison: Comparison, line: Line, methods: tuple[str, str], metric: Metric, between: tuple[int, int]
) -> float | None:
    """Return where two methods' medians are equal between two places of a line."""
    places: list[tuple[int, float]] = []
    for place in range(between[0], between[1] + 1):
        rows = [comparison.row(line.runs[place], method) for method in methods]
        values = [row.median(metric) if row else None for row in rows]
        if values[0] and values[1]:
            places.append((line.values[place], log(values[0] / values[1])))
    for (x0, y0), (x1, y1) in pairwise(places):
        if y0 * y1 < 0 and x0 > 0:
            share = y0 / (y0 - y1)
            return exp(log(x0) + share * (log(x1) - log(x0)))
    return None


def knees(comparison: Comparison) -> Iterator[Knee]:
    """Yield how many threads each method makes use of when it decodes, wherever their number was swept."""
    for line in lines(comparison):
        if line.axis != "n_threads":
            continue
        for method in dict.fromkeys(name for number in line.runs for name in contestants(comparison, number)):
            if (found := _knee(comparison, line, method)) is not None:
                yield found


def _knee(comparison: Comparison, line: Line, method: str) -> Knee | None:
    measured = [
        (number, n_threads, speed)
        for number, n_threads in zip(line.runs, line.values, strict=True)
        if (row := comparison.row(number, method)) is not None and (speed := row.median(DECODE))
    ]
    if len(measured) < 2:  # noqa: PLR2004 - a gain has two ends
        return None
    fastest = max(speed for _, _, speed in measured)
    place = next(place for place, (_, _, speed) in enumerate(measured) if speed * _HELPS >= fastest)
    number, n_threads, _ = measured[place]
    here = comparison.runs[number], method
    fewest, larger = measured[0], measured[place + 1] if place + 1 < len(measured) else None
    row = comparison.row(number, method)
    return Knee(
        line,
        method,
        n_threads,
        metric_ratio(DECODE, here, (comparison.runs[fewest[0]], method)) if place else None,
        fewest[1],
        metric_ratio(DECODE, (comparison.runs[larger[0]], method), here) if larger else None,
        row.roofline.mbu if row is not None and row.roofline is not None else None,
    )
