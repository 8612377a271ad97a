from itertools import pairwise

import pytest
from scipy import stats

from tuibench.core.statistics.distributions import (
    beta_cdf,
    bootstrap_median_weights,
    n_outside_median_interval,
    sign_test_p_value,
    student_t_p_value,
    student_t_quantile,
)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (2, 2), (1, 9.5), (30, 0.5), (5000.5, 5000.5)])
@pytest.mark.parametrize("x", [0.0, 1e-9, 0.1, 0.49, 0.5, 0.9, 1 - 1e-12, 1.0])
def test_beta_cdf_is_scipys(a, b, x):
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("probability", [0.6, 0.975, 0.9999])
@pytest.mark.parametrize("df", [1, 2, 2.7, 4, 30, 1000, 1e7])
def test_student_t_quantile_is_scipys(df, probability):
    assert student_t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-6)


@pytest.mark.parametrize("df", [1, 2, 2.7, 30, 1000, float("inf")])
@pytest.mark.parametrize("t", [0.0, 0.5, -3.0, 40.0])
def test_student_t_p_value_is_scipys(t, df):
    assert student_t_p_value(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-9)


@pytest.mark.parametrize(("n_below", "n"), [(0, 10), (3, 10), (5, 10), (5, 11), (0, 1), (1, 1)])
def test_sign_test_p_value_is_scipys(n_below, n):
    assert sign_test_p_value(n_below, n) == pytest.approx(min(1, 2 * stats.binom.cdf(n_below, n, 0.5)))


@pytest.mark.parametrize("n", [3, 5, 9])
def test_bootstrap_weights_are_those_of_all_resamples(n):
    # A resampled median is at or below the k-th value when more than half of n draws are.
    half = (n + 1) // 2
    cumulative = [stats.binom.sf(half - 1, n, k / n) for k in range(n + 1)]
    first, weights = bootstrap_median_weights(n)
    assert first == 0
    assert weights == pytest.approx([high - low for low, high in pairwise(cumulative)])


@pytest.mark.parametrize("n", [1, 2, 4, 10, 1000, 20_000])
def test_bootstrap_weights_add_up_to_one_and_are_symmetric(n):
    first, weights = bootstrap_median_weights(n)
    assert sum(weights) == pytest.approx(1, abs=1e-9)
    assert weights == pytest.approx(weights[::-1], abs=1e-9)
    assert first + len(weights) <= n


@pytest.mark.parametrize(("n", "n_outside"), [(3, 0), (5, 0), (6, 1), (8, 1), (9, 2), (10, 2), (30, 10)])
def test_order_statistics_reach_the_coverage(n, n_outside):
    assert n_outside_median_interval(n, 0.95) == n_outside
    if n_outside:
        assert 1 - 2 * stats.binom.cdf(n_outside - 1, n, 0.5) >= 0.95
    assert 1 - 2 * stats.binom.cdf(n_outside, n, 0.5) < 0.95
