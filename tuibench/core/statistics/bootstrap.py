"""The percentile bootstrap of medians and of their ratio, from exact distributions instead of resamples.

What it takes is sorted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from tuibench.core.statistics.distributions import bootstrap_median_weights


def bootstrap_median_interval(ordered: Sequence[float], coverage: float) -> tuple[float, float]:
    """Return the percentile interval of the median of values that are sorted."""
    first, weights = bootstrap_median_weights(len(ordered))
    cumulative = list(accumulate(weights))
    last = len(ordered) - 1
    return (
        ordered[min(last, first + bisect_right(cumulative, (1 - coverage) / 2))],
        ordered[min(last, first + bisect_right(cumulative, (1 + coverage) / 2))],
    )


def bootstrap_ratio_interval(ours: Sequence[float], theirs: Sequence[float], coverage: float) -> tuple[float, float]:
    """Return the percentile interval of the ratio of two bootstrapped medians, from their exact distributions."""
    probability_up_to = bootstrap_ratio_cdf(ours, theirs)
    least, most = ours[0] / theirs[-1], ours[-1] / theirs[0]
    low, high = (_quantile(probability_up_to, (1 + side * coverage) / 2, least, most) for side in (-1, 1))
    return low, high


def bootstrap_ratio_cdf(ours: Sequence[float], theirs: Sequence[float]) -> Callable[[float], float]:
    """Return the distribution function of the ratio of two bootstrapped medians."""
    values, cumulative = _median_distribution(ours)
    first, weights = bootstrap_median_weights(len(theirs))
    divisors = theirs[first : first + len(weights)]

    def probability_up_to(ratio: float) -> float:
        return sum(
            weight * cumulative[bisect_right(values, ratio * divisor)]
            for divisor, weight in zip(divisors, weights, strict=True)
        )

    return probability_up_to


def _median_distribution(ordered: Sequence[float]) -> tuple[Sequence[float], list[float]]:
    """Return the values that a bootstrapped median can take, and the probability that it is among the first k."""
    first, weights = bootstrap_median_weights(len(ordered))
    return ordered[first : first + len(weights)], list(accumulate(weights, initial=0.0))


def _quantile(probability_up_to: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if probability_up_to(middle) >= wanted else (middle, high)
    return high
