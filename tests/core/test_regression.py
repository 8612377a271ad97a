import math

import numpy as np
import pytest
from scipy import stats

from tests.measured_runs import measured, trials
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.regression import Standing, judge
from tuibench.core.run.control import control_of


def judged(base, new, allowed=0.05, **assumed):
    comparison = compare([*base, *new], parents={})
    numbers = range(len(comparison.runs))
    return judge(comparison, numbers[: len(base)], numbers[len(base) :], allowed=allowed, **assumed)


def sessions(*speeds_tps):
    return [MeasuredRun(str(tps), ("a",), tuple(trials("a", tps, sigma=0))) for tps in speeds_tps]


@pytest.mark.parametrize("n_new", [1, 2, 4])
def test_interval_of_several_sessions_is_students(n_new):
    base, new = [10.0, 10.4, 9.8], [9.0, 9.7, 9.2, 9.4][:n_new]
    (found,) = judged(sessions(*base), sessions(*new)).judgements
    if n_new > 1:
        expected = tuple(stats.ttest_ind(np.log(new), np.log(base), equal_var=True).confidence_interval(0.95))
    else:  # SciPy has no test of one value against several: the prediction interval is the same
        half = stats.t.ppf(0.975, 2) * np.std(np.log(base), ddof=1) * math.sqrt(1 + 1 / 3)
        middle = math.log(9.0) - np.mean(np.log(base))
        expected = (middle - half, middle + half)
    assert (found.low, found.high) == pytest.approx(tuple(np.exp(expected)), rel=1e-6)
    assert found.ratio == pytest.approx(stats.gmean(new) / stats.gmean(base))


def test_one_session_a_side_is_at_least_as_unsure_as_the_noise_assumed():
    gate = judged(sessions(10.0), sessions(9.0), run_noise=0.04)
    assert gate.noise_assumed
    (found,) = gate.judgements
    half = stats.norm.ppf(0.975) * 0.04 * math.sqrt(2)
    assert (found.low, found.high) == pytest.approx((0.9 * math.exp(-half), 0.9 * math.exp(half)), rel=1e-6)


def test_noise_of_the_trials_comes_on_top():
    noisy = [MeasuredRun("noisy", ("a",), tuple(trials("a", 10, sigma=0.1)))]
    (quiet,), (wide,) = (judged(side, sessions(9.0)).judgements for side in (sessions(10.0), noisy))
    assert wide.high / wide.low > quiet.high / quiet.low


@pytest.mark.parametrize(
    ("new", "standing"),
    [
        ((10.0, 10.1, 9.9), Standing.NOT_SLOWER),
        ((12.0, 12.1, 11.9), Standing.NOT_SLOWER),
        ((9.5, 9.6, 9.4), Standing.UNSURE),
        ((9.0, 9.1, 8.9), Standing.SLOWER),
    ],
)
def test_three_outcomes(new, standing):
    gate = judged(sessions(10.0, 10.1, 9.9), sessions(*new))
    assert [each.standing for each in gate.judgements] == [standing]


def test_a_loss_that_is_allowed_is_none_however_sure():
    assert judged(sessions(10.0, 10.01), sessions(9.0, 9.01), allowed=0.2).judgements[0].standing is Standing.NOT_SLOWER


def test_many_methods_need_more_evidence_each():
    def side(*slow_tps, n_others):
        names = ["slow", *(f"other-{number}" for number in range(n_others))]
        speeds = [{name: tps if name == "slow" else 10.0 for name in names} for tps in slow_tps]
        return [
            MeasuredRun(
                str(of["slow"]), tuple(names), tuple(each for name in names for each in trials(name, of[name], sigma=0))
            )
            for of in speeds
        ]

    found = []
    for n_others in (0, 12):
        gate = judged(side(10.0, 10.5, n_others=n_others), side(8.0, 8.4, n_others=n_others))
        found.append(gate.judgements[0])
    alone, among_others = found
    assert (alone.low, alone.high) == (among_others.low, among_others.high)  # single intervals stay as they are
    assert (alone.standing, among_others.standing) == (Standing.SLOWER, Standing.UNSURE)


def test_a_method_that_a_session_lacks_is_missing_and_judged_by_the_others():
    short = MeasuredRun("short", ("b",), tuple(trials("b", 10)))
    gate = judged([measured("x", a=10, b=10)], [measured("y", a=10, b=10), short])
    assert gate.missing == (("a", 2),)
    assert {each.method for each in gate.judgements} == {"a", "b"}


def test_a_control_is_not_judged():
    name = control_of("a")
    runs = [MeasuredRun(label, ("a", name), (*trials("a", 10), *trials(name, 10))) for label in "xy"]
    gate = judged(runs[:1], runs[1:])
    assert ([each.method for each in gate.judgements], gate.missing) == (["a"], ())
