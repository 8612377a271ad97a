"""Whether the machine changed while it measured: a trend over the trials that all methods share."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import expm1, log, sqrt
from statistics import NormalDist, median

from tuibench.core.results.metrics import DECODE
from tuibench.core.run.record import TrialRecord

SIGNIFICANCE = 0.05
LEAST_CHANGE = 0.02
"""A trend smaller than this is not worth a word, however certain it is."""
_ENOUGH = 500


@dataclass(frozen=True, slots=True)
class Drift:
    """A trend of the decode speed over a run."""

    change: float
    """Relative change of speed from the first to the last trial: −0.08 is 8 % slower."""
    p_value: float
    at_trial: int
    """Number of the trial, counted from 1 over all methods, before which the speed changed most."""
    n_trials: int


def drift(trials: Sequence[TrialRecord]) -> Drift | None:
    """Return the drift that a run shows; None if it shows none.

    Args:
        trials: In the order they took place; warm-ups and failures are passed over.
    """
    measured = (record for record in trials if not record.warmup and not record.failed)
    speeds = [(record.method, speed) for record in measured if (speed := DECODE.compute(record))]
    by_method: dict[str, list[float]] = {}
    for method, speed in speeds:
        by_method.setdefault(method, []).append(speed)
    return drift_of_speeds(by_method, (method for method, _ in speeds))


def drift_of_speeds(speeds: Mapping[str, Sequence[float]], order: Iterable[str]) -> Drift | None:
    """Return the drift that decode speeds show; None if they show none.

    The test is the seasonal Kendall test with methods as seasons (Hirsch, Slack & Smith 1982): within each method,
    do later trials tend to be slower? So it needs no model of the methods' speeds, and outliers weigh no more than
    other trials. The size is Tukey's resistant line, and the trial that of Pettitt's change point (1979), both over
    all trials, each relative to the median of its method.

    Args:
        speeds: Of each method, in the order they were measured.
        order: The method of each of them, in the order of the run; looked at only where there is a trend.
    """
    logs = {method: [log(speed) for speed in of_method] for method, of_method in speeds.items()}
    p_value = _seasonal_kendall([_thinned(values) for values in logs.values()])
    if p_value is None or p_value > SIGNIFICANCE:
        return None
    deviations = {method: _deviations(values) for method, values in logs.items()}
    relative = [next(deviations[method]) for method in order]
    change = expm1(_resistant_change(relative))
    if abs(change) < LEAST_CHANGE:
        return None
    return Drift(change, p_value, _change_point(relative) + 1, len(relative))


def _deviations(values: Sequence[float]) -> Iterator[float]:
    middle = median(values)
    return (value - middle for value in values)


def _seasonal_kendall(seasons: Sequence[Sequence[float]]) -> float | None:
    """Return the two-sided p-value of a common trend, by the normal approximation with a continuity correction."""
    score = sum(_concordance(values) for values in seasons)
    variance = sum(len(values) * (len(values) - 1) * (2 * len(values) + 5) / 18 for values in seasons)
    if not variance:
        return None
    z = max(0, abs(score) - 1) / sqrt(variance)
    return 2 * (1 - NormalDist().cdf(z))


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """Return at most `_ENOUGH` medians of neighbours: a trend that matters shows in them as well, and a lot sooner."""
    step = -(-len(values) // _ENOUGH)
    return values if step < 2 else [median(values[i : i + step]) for i in range(0, len(values), step)]  # noqa: PLR2004


def _concordance(values: Sequence[float]) -> int:
    """Return how many pairs rise minus how many fall."""
    seen: list[float] = []
    score = 0
    for value in values:
        score += bisect_left(seen, value) - (len(seen) - bisect_right(seen, value))
        insort(seen, value)
    return score


def _resistant_change(values: Sequence[float]) -> float:
    """Return the rise from first to last of the line through the medians of the outer thirds."""
    third = max(1, len(values) // 3)
    distance = len(values) - third
    rise = median(values[-third:]) - median(values[:third])
    return rise * (len(values) - 1) / distance if distance else 0.0


def _change_point(values: Sequence[float]) -> int:
    """Return the index of the first value after the most likely change (Pettitt's statistic on ranks)."""
    ordered = sorted(values)
    mean_rank = (len(values) - 1) / 2
    best, best_at, total = 0.0, 0, 0.0
    for index, value in enumerate(values[:-1]):
        total += bisect_left(ordered, value) - mean_rank
        if abs(total) > best:
            best, best_at = abs(total), index + 1
    return best_at
