import itertools
import random
import statistics

import numpy as np
import pytest
from scipy import stats

from tuibench.core.statistics.bootstrap import bootstrap_ratio_interval
from tuibench.core.statistics.stats import (
    FEW,
    MIN_TRIALS,
    Outcome,
    estimate,
    min_samples,
    outliers,
    percentiles,
    ratio_by_round,
    ratio_of_medians,
)


def lognormal(n, *, median=10.0, sigma=0.03, seed=0):
    source = random.Random(seed)
    return [median * source.lognormvariate(0, sigma) for _ in range(n)]


def test_bootstrap_ratio_interval_is_that_of_all_resamples():
    ours, theirs = [1.0, 1.1, 1.3], [2.0, 2.3, 2.35]
    medians = [[statistics.median(draw) for draw in itertools.product(side, repeat=3)] for side in (ours, theirs)]
    ratios = sorted(a / b for a in medians[0] for b in medians[1])
    low, high = bootstrap_ratio_interval(ours, theirs, 0.95)
    assert low == pytest.approx(np.quantile(ratios, 0.025, method="inverted_cdf"))
    assert high == pytest.approx(np.quantile(ratios, 0.975, method="inverted_cdf"))


@pytest.mark.parametrize("n", [25, 101])
def test_bootstrap_ratio_interval_agrees_with_scipys_resampling(n):
    ours, theirs = lognormal(n, median=20, seed=1), lognormal(n, seed=2)
    resampled = stats.bootstrap(
        (ours, theirs),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(3),
    ).confidence_interval
    low, high = bootstrap_ratio_interval(sorted(ours), sorted(theirs), 0.95)
    width = high - low
    assert low == pytest.approx(resampled.low, abs=0.1 * width)
    assert high == pytest.approx(resampled.high, abs=0.1 * width)


@pytest.mark.parametrize("n", range(MIN_TRIALS, FEW))
def test_few_trials_are_never_more_certain_than_students_t(n):
    values = lognormal(n, seed=n)
    low, high = stats.t.interval(0.95, n - 1, np.mean(np.log(values)), stats.sem(np.log(values)))
    found = estimate(values)
    assert found.low <= np.exp(low) * (1 + 1e-9)
    assert found.high >= np.exp(high) * (1 - 1e-9)


def test_few_trials_of_two_sessions_are_never_more_certain_than_welchs_t():
    ours, theirs = lognormal(3, seed=1), lognormal(5, sigma=0.1, seed=2)
    interval = stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False).confidence_interval(0.95)
    found = ratio_of_medians(ours, theirs)
    assert found.low <= np.exp(interval.low) * (1 + 1e-6)
    assert found.high >= np.exp(interval.high) * (1 - 1e-6)


def test_many_trials_do_not_widen_for_an_outlier():
    values = lognormal(20, sigma=0.01)
    assert estimate([*values[:-1], 1000.0]).high < 10.3


def test_too_few_trials_get_a_ratio_without_a_statement():
    found = ratio_by_round([10.0, 11.0], [5.0, 5.1])
    assert found.value == pytest.approx(stats.gmean([10.0 / 5.0, 11.0 / 5.1]))
    assert (found.low, found.high, found.outcome) == (None, None, Outcome.UNKNOWN)
    assert ratio_of_medians([10.0], lognormal(30)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("ratio", [ratio_of_medians, ratio_by_round])
def test_a_clear_difference_is_found_from_three_trials(ratio):
    assert ratio(lognormal(3, median=20), lognormal(3, seed=1)).outcome is Outcome.GREATER
    assert ratio(lognormal(3, median=5), lognormal(3, seed=1)).outcome is Outcome.LESS


@pytest.mark.parametrize("ratio", [ratio_of_medians, ratio_by_round])
def test_interval_holds_the_ratio_itself(ratio):
    for seed in range(50):
        found = ratio(lognormal(4, sigma=0.5, seed=seed), lognormal(4, sigma=0.5, seed=seed + 100))
        assert found.low <= found.value <= found.high


def test_ratio_by_round_is_the_geometric_mean_of_the_rounds_ratios():
    ours, theirs = lognormal(5, median=20, seed=1), lognormal(5, seed=2)
    assert ratio_by_round(ours, theirs).value == pytest.approx(stats.gmean(np.divide(ours, theirs)))


def test_from_ten_rounds_on_an_outlier_does_not_move_the_ratio():
    ours, theirs = lognormal(12, median=20, seed=1), lognormal(12, seed=2)
    ratios = np.divide(ours, theirs)
    disturbed = [5.0 if i == int(np.argmin(ratios)) else value for i, value in enumerate(ours)]
    found = ratio_by_round(disturbed, theirs)
    assert found.value == pytest.approx(np.exp(stats.trim_mean(np.log(ratios), 0.25)))


@pytest.mark.parametrize("n", range(MIN_TRIALS, FEW))
def test_p_value_of_few_rounds_is_never_below_students_t(n):
    ours, theirs = lognormal(n, median=10.3, seed=n), lognormal(n, seed=n + 50)
    p_value = stats.ttest_rel(np.log(ours), np.log(theirs)).pvalue
    assert ratio_by_round(ours, theirs).p_value >= p_value * (1 - 1e-9)


def test_p_value_of_few_trials_of_two_sessions_is_never_below_welchs_t():
    ours, theirs = lognormal(4, median=10.3, seed=1), lognormal(5, sigma=0.1, seed=2)
    p_value = stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False).pvalue
    assert ratio_of_medians(ours, theirs).p_value >= p_value * (1 - 1e-9)


def test_p_value_of_many_rounds_is_never_below_the_sign_tests():
    ours, theirs = lognormal(15, median=10.3, seed=1), lognormal(15, seed=2)
    n_above = sum(a > b for a, b in zip(ours, theirs, strict=True))
    assert ratio_by_round(ours, theirs).p_value >= stats.binomtest(n_above, 15).pvalue - 1e-12


@pytest.mark.parametrize("n", [3, 5, 9, 10, 11, 30])
@pytest.mark.parametrize("ratio", [ratio_of_medians, ratio_by_round])
def test_p_value_and_interval_say_the_same(ratio, n):
    for seed in range(60):
        found = ratio(lognormal(n, median=10 + seed / 60, seed=seed), lognormal(n, seed=seed + 100))
        assert (found.p_value <= 0.05) == (found.outcome is not Outcome.NONE)


def test_drift_cancels_between_trials_of_one_round():
    drifting = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    ours = [30 * speed * noise for speed, noise in zip(drifting, lognormal(6, median=1, sigma=0.005), strict=True)]
    theirs = [20 * speed for speed in drifting]
    by_round, independent = ratio_by_round(ours, theirs), ratio_of_medians(ours, theirs)
    assert by_round.outcome is Outcome.GREATER
    assert by_round.high - by_round.low < 0.1 * (independent.high - independent.low)


def test_identical_trials_do_not_differ():
    assert ratio_by_round([10.0] * 3, [10.0] * 3).outcome is Outcome.NONE
    assert ratio_of_medians([10.0] * 3, [10.0] * 3).outcome is Outcome.NONE


@pytest.mark.parametrize("values", [[], [0.0, 1.0, 2.0]])
def test_no_ratio_without_positive_values(values):
    assert ratio_of_medians(values, [1.0, 2.0, 3.0]) is None
    assert ratio_by_round(values, [1.0, 2.0, 3.0][: len(values)]) is None


def test_estimate_has_no_interval_for_a_metric_that_is_zero():
    assert estimate([]) is None
    assert estimate([0.0, 0.0, 0.0]).low is None


@pytest.mark.parametrize(("share", "n"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.97, 219), (0.99, 662)])
def test_min_samples_are_mlperfs(share, n):
    assert min_samples(share) == n
    assert stats.binom.cdf(1, n, 1 - share) <= 0.01 < stats.binom.cdf(1, n - 1, 1 - share)


def test_percentiles_are_numpys_and_absent_where_samples_are_too_few():
    values = lognormal(200)
    found = percentiles(values)
    assert found[0.90] == pytest.approx(np.percentile(values, 90))
    assert found[0.95] == pytest.approx(np.percentile(values, 95))
    assert found[0.99] is None


def test_outliers_are_told_but_not_where_there_are_few_trials():
    values = lognormal(9, sigma=0.01)
    assert outliers([*values, 30.0]) == (9,)
    assert outliers(values) == ()
    assert outliers([10.0, 10.0, 10.0, 30.0]) == ()


def test_trials_that_agree_within_half_a_percent_have_no_outliers():
    assert outliers([10.0, 10.0, 10.0, 10.0, 10.02]) == ()
