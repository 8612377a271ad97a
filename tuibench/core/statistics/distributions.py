"""The few distribution functions that the statistics need, so that no process loads SciPy for them."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from itertools import pairwise
from math import exp, lgamma, log, log1p, pi, sqrt
from statistics import NormalDist

_EPSILON = 1e-15
_TINY = 1e-300
_MAX_TERMS = 1000
_NORMAL_FROM_DF = 1e6
_MAX_STEPS, _STEP = 100, 1e-12


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b).

    Continued fraction with Lentz's algorithm, on whichever side of the mean it converges fast (Press et al.,
    Numerical Recipes, 3rd edition, §6.4).
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front * _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


@cache
def student_t_quantile(probability: float, df: float) -> float:
    """Return the point that Student's t with `df` degrees of freedom stays below with `probability` (above 0.5)."""
    if df >= _NORMAL_FROM_DF:
        return NormalDist().inv_cdf(probability)
    tails = 2 * (1 - probability)
    log_norm = lgamma((df + 1) / 2) - lgamma(df / 2) - log(df * pi) / 2
    t = NormalDist().inv_cdf(probability)
    # Newton's method from below: what lies outside t falls and is convex, so that it never goes beyond the root.
    for _ in range(_MAX_STEPS):
        density = exp(log_norm - (df + 1) / 2 * log1p(t * t / df))
        step = (student_t_p_value(t, df) - tails) / (2 * density)
        t += step
        if abs(step) <= _STEP * t:
            break
    return t


def student_t_p_value(t: float, df: float) -> float:
    """Return with what probability Student's t with `df` degrees of freedom lies as far from 0 as `t`, either side."""
    if df >= _NORMAL_FROM_DF:
        return 2 * NormalDist().cdf(-abs(t))
    return beta_cdf(df / (df + t * t), df / 2, 0.5)


def sign_test_p_value(n_below: int, n: int) -> float:
    """Return the two-sided p-value of as few as `n_below` of `n` values on one side of their true median."""
    return min(1.0, 2 * beta_cdf(0.5, n - n_below, n_below + 1)) if n_below < n else 1.0


@cache
def bootstrap_median_weights(n: int) -> tuple[int, tuple[float, ...]]:
    """Return the bootstrap distribution of a median: with what probability it is the k-th smallest of `n` values.

    No resampling: the median of n draws with replacement is the k-th value with probability
    I_{k/n}(m, m) − I_{(k−1)/n}(m, m), m = (n + 1) ÷ 2 (Efron 1982, The Jackknife, the Bootstrap and Other Resampling
    Plans, §10.4; Maritz & Jarrett 1978). Exact for odd n; for even n, where a median lies between two values, m is
    the rank between them, which spreads it a little wider.

    Returns:
        The first rank that matters, counted from 0, and the probability of each rank from there on.
    """
    m = (n + 1) / 2
    first = max(0, int(m - 4 * sqrt(n)))  # eight standard deviations of the rank
    cumulative = [beta_cdf(k / n, m, m) for k in range(first, n - first + 1)]
    return first, tuple(above - below for below, above in pairwise(cumulative))


@cache
def n_outside_median_interval(n: int, coverage: float) -> int:
    """Return how many of the smallest (and largest) of `n` values may be left out of an interval for the median.

    The interval from the value after them covers the true median at least with probability `coverage`, whatever the
    distribution is (the sign test turned round; Conover 1999, Practical Nonparametric Statistics, §3.2). 0 where even
    all values do not reach it: six are the fewest for 95 %.
    """
    # P(at most k of n values lie below the median) = I_{1/2}(n − k, k + 1)
    return bisect_right(range(n // 2), (1 - coverage) / 2, key=lambda k: beta_cdf(0.5, n - k, k + 1))
