"""What the trials of a method say, and with what certainty.

Trials are the unit: tokens within one are correlated. Times and speeds are positive and their noise multiplies, so all
intervals are made on the logarithm.

Which interval holds what it promises was decided by simulation (`tests/campaigns/aa_series.py`): the same method
against itself, log-normal noise, outliers, drift and steps. The plain percentile bootstrap of a median does not: it
called 24 % of three against three identical trials different, and still 9 % of ten against ten, because resampled
medians cannot leave the few values that were seen. Hence two supports for it:

- below `FEW` trials, Student's t on the logarithms, which is exact for log-normal noise and wide for outliers, at
  `_T_COVERAGE`, somewhat more than is claimed, because noise that lasts from one trial to the next makes it optimistic;
- from `FEW` on, the interval of order statistics whose coverage is exact for any distribution.

The interval spans the bootstrap's and its support's, and never claims less than either; a p-value is what is left of
certainty where the interval just reaches 1. Below `MIN_TRIALS` there is neither: that is "too few trials to tell", not
"no difference".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from math import exp, floor, fsum, log, sqrt
from statistics import fmean

from tuibench.core.statistics.bootstrap import bootstrap_median_interval, bootstrap_ratio_cdf, bootstrap_ratio_interval
from tuibench.core.statistics.distributions import (
    beta_cdf,
    bootstrap_median_weights,
    n_outside_median_interval,
    sign_test_p_value,
    student_t_p_value,
    student_t_quantile,
)

COVERAGE = 0.95
MIN_TRIALS = 3
"""Fewest trials a side for any statement."""
FEW = 10
"""From so many trials on, order statistics alone carry an interval."""

_T_COVERAGE = 0.965
_T_HIGH = (1 + _T_COVERAGE) / 2
_T_CAUTION = (1 - COVERAGE) / (1 - _T_COVERAGE)
"""What a p-value of Student's t is multiplied by, for the same reason."""


class Outcome(StrEnum):
    """What can be said of two sets of trials."""

    GREATER = "greater"
    LESS = "less"
    NONE = "no difference"
    """The interval of the ratio holds 1."""
    UNKNOWN = "too few trials to tell"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over trials."""

    median: float
    low: float | None
    """With `high`, the interval that holds the true median with 95 % probability; None below `MIN_TRIALS` trials."""
    high: float | None
    n: int

    @property
    def ends(self) -> tuple[float, float]:
        """The interval's; twice the median where there is none."""
        return self.median if self.low is None else self.low, self.median if self.high is None else self.high

    @property
    def precision(self) -> float | None:
        """The longer half of the interval as a fraction of the median."""
        if self.low is None or self.high is None or not self.median:
            return None
        return max(self.high - self.median, self.median - self.low) / self.median


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two decode speeds."""

    value: float
    low: float | None
    """With `high`, its 95 % interval; None below `MIN_TRIALS` trials a side."""
    high: float | None
    n: int
    """Trials of the side that has fewer; with `paired`, rounds that both took part in."""
    paired: bool
    p_value: float | None = None
    """How probable a ratio as far from 1 is between equals: at most 5 % where the interval excludes 1. None without
    an interval."""

    @property
    def outcome(self) -> Outcome:
        """What the interval says."""
        if self.low is None or self.high is None:
            return Outcome.UNKNOWN
        if self.low > 1:
            return Outcome.GREATER
        return Outcome.LESS if self.high < 1 else Outcome.NONE


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the median of some trials with its interval; None without values.

    Values that are zero or negative have no logarithm: they get no interval.
    """
    if not values:
        return None
    ordered = sorted(values)
    middle = _middle(ordered)
    low, high = _median_interval(ordered, middle) or (None, None)
    return Estimate(middle, low, high, len(values))


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> Ratio | None:
    """Return the ratio of the medians of two independent sets of trials; None when either is empty or not positive.

    For trials of different runs. The interval holds what varies from trial to trial, not what varies from run to run:
    a machine that is slower today makes every method slower, and no number of trials shows it.
    """
    if not ours or not theirs or min(ours) <= 0 or min(theirs) <= 0:
        return None
    ordered, theirs_ordered = sorted(ours), sorted(theirs)
    value, n = _middle(ordered) / _middle(theirs_ordered), min(len(ours), len(theirs))
    if n < MIN_TRIALS:
        return Ratio(value, None, None, n, paired=False)
    bounds = [bootstrap_ratio_interval(ordered, theirs_ordered, COVERAGE)]
    below, above = bootstrap_ratio_cdf(ordered, theirs_ordered), bootstrap_ratio_cdf(theirs_ordered, ordered)
    p_values = [_two_sided(below(1), above(1))]
    if n < FEW:
        interval, p_value = _welch(ours, theirs)
        bounds.append(interval)
        p_values.append(p_value)
    return Ratio(value, *_spanned(bounds, value), n, paired=False, p_value=max(p_values))


def ratio_by_round(ours: Sequence[float], theirs: Sequence[float]) -> Ratio | None:
    """Return the ratio of two speeds that were measured in common rounds: `ours[i]` was measured next to `theirs[i]`.

    What drifts from round to round cancels within each, and what drifts within a round over all of them
    (`plan.trial_order`), because the ratio is the geometric mean of the rounds' ratios: from `FEW` rounds on, of the
    middle half of them, which no outlier moves. The interval is that of the median ratio within a round.

    Args:
        ours: At least one; like `theirs`, positive for there to be a ratio.
        theirs: As many.
    """
    if not ours or min(ours) <= 0 or min(theirs) <= 0:
        return None
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    n = len(ratios)
    outer = n // 4 if n >= FEW else 0
    value = exp(fmean(log(ratio) for ratio in ratios[outer : n - outer]))
    interval = _median_interval(ratios, value)
    if interval is None:
        return Ratio(value, None, None, n, paired=True)
    return Ratio(value, *interval, n, paired=True, p_value=_median_p_value(ratios))


def _spanned(intervals: Sequence[tuple[float, float]], value: float) -> tuple[float, float]:
    return min(value, *(low for low, _ in intervals)), max(value, *(high for _, high in intervals))


def _middle(ordered: Sequence[float]) -> float:
    """Return the median of values that are sorted, as `statistics.median` does after sorting them."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _median_interval(ordered: Sequence[float], middle: float) -> tuple[float, float] | None:
    n = len(ordered)
    if n < MIN_TRIALS or ordered[0] <= 0:
        return None
    bounds = [bootstrap_median_interval(ordered, COVERAGE)]
    if n < FEW:
        logs = [log(value) for value in ordered]
        half = student_t_quantile(_T_HIGH, n - 1) * sqrt(_variance(logs) / n)
        bounds.append((exp(fmean(logs) - half), exp(fmean(logs) + half)))
    else:
        n_outside = n_outside_median_interval(n, COVERAGE)
        bounds.append((ordered[n_outside - 1], ordered[n - n_outside]))
    return _spanned(bounds, middle)


def _median_p_value(ordered: Sequence[float]) -> float:
    """Return how probable it is that values with a median of 1 lie as far from it as these."""
    n = len(ordered)
    n_up_to, n_below = bisect_right(ordered, 1), bisect_left(ordered, 1)
    first, weights = bootstrap_median_weights(n)
    bootstrap = _two_sided(sum(weights[: max(0, n_up_to - first)]), sum(weights[max(0, n_below - first) :]))
    if n >= FEW:
        return max(bootstrap, sign_test_p_value(min(n_up_to, n - n_below), n))
    logs = [log(value) for value in ordered]
    return max(bootstrap, _t_p_value(fmean(logs), _variance(logs) / n, n - 1))


def _two_sided(up_to: float, from_there: float) -> float:
    return min(1.0, 2 * min(up_to, from_there))


def _variance(values: Sequence[float]) -> float:
    """Return the sample variance; that of `statistics` is exact, and takes most of a comparison's time."""
    mean = fmean(values)
    return fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _t_p_value(mean: float, squared_error: float, df: float) -> float:
    if not squared_error:
        return 0.0 if mean else 1.0
    return min(1.0, _T_CAUTION * student_t_p_value(mean / sqrt(squared_error), df))


def _welch(ours: Sequence[float], theirs: Sequence[float]) -> tuple[tuple[float, float], float]:
    """Return the interval of the ratio that Welch's t test on the logarithms gives, and its p-value."""
    a, b = [log(value) for value in ours], [log(value) for value in theirs]
    var_a, var_b = _variance(a) / len(a), _variance(b) / len(b)
    middle = fmean(a) - fmean(b)
    if not var_a + var_b:
        return (exp(middle), exp(middle)), _t_p_value(middle, 0, 1)
    df = (var_a + var_b) ** 2 / (var_a**2 / (len(a) - 1) + var_b**2 / (len(b) - 1))
    half = student_t_quantile(_T_HIGH, df) * sqrt(var_a + var_b)
    return (exp(middle - half), exp(middle + half)), _t_p_value(middle, var_a + var_b, df)


@cache
def min_samples(share: float) -> int:
    """Return the fewest samples that a percentile may be taken from, by MLPerf's early-stopping rule.

    The smallest n for which at most one of n samples lies above the percentile with a probability of no more than 1 %
    (MLCommons inference rules, early stopping, c = 0.99, d = 0, t = 1): 64 for p90, 130 for p95, 662 for p99.
    """
    n = 2
    while beta_cdf(share, n - 1, 2) > 1 - _MLPERF_CONFIDENCE:
        n += 1
    return n


_MLPERF_CONFIDENCE = 0.99
PERCENTILES = (0.50, 0.90, 0.95, 0.99)


def percentiles(values: Sequence[float], shares: Sequence[float] = PERCENTILES) -> dict[float, float | None]:
    """Return percentiles by share, interpolated between neighbours; None where there are too few samples for one."""
    ordered = sorted(values)
    return {share: _interpolated(ordered, share) if len(ordered) >= min_samples(share) else None for share in shares}


def _interpolated(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


_OUTLIER_SCORE = 3.5
_NORMAL_MAD = 0.6745
_MIN_FOR_OUTLIERS = 5
_LEAST_SPREAD = 0.005


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Return the indices of values far from the others, for a flag beside them: nothing is ever dropped.

    The modified z-score of the logarithm above 3.5 (Iglewicz & Hoaglin 1993). None are told from fewer than five
    values, and a spread below 0.5 % counts as 0.5 %: among trials that agree so well, nothing else is worth a word.
    """
    if len(values) < _MIN_FOR_OUTLIERS or min(values) <= 0:
        return ()
    logs = [log(value) for value in values]
    ordered = sorted(logs)
    middle = _middle(ordered)
    distances = sorted(abs(value - middle) for value in ordered)  # of two runs in order: hardly more than a merge
    spread = max(_LEAST_SPREAD, _middle(distances))
    if _NORMAL_MAD * distances[-1] / spread <= _OUTLIER_SCORE:
        return ()
    return tuple(i for i, value in enumerate(logs) if _NORMAL_MAD * abs(value - middle) / spread > _OUTLIER_SCORE)
