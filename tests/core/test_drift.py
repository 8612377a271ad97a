import itertools
import random
from datetime import UTC, datetime

import msgspec
import pytest
from scipy import stats

from tuibench.core.results.drift import _concordance as concordance
from tuibench.core.results.drift import drift
from tuibench.core.results.method_trials import by_method, drift_of_run
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import TrialRecord


def run(n_methods, n_trials, speed_at, *, sigma=0.01, seed=0):
    """A run whose machine has the relative speed `speed_at(share of the run)`."""
    source = random.Random(seed)
    methods = [f"m{i}" for i in range(n_methods)]
    turns = trial_order(methods, n_trials)
    records = []
    for number, turn in enumerate(turns):
        tps = 10 * (1 + methods.index(turn.method)) * speed_at(number / (len(turns) - 1))
        step_ns = round(1e9 / tps / source.lognormvariate(0, sigma))
        records.append(
            TrialRecord(method=turn.method, index=turn.index, step_ns=(step_ns,), finished=datetime.now(UTC))
        )
    return records


def test_concordance_is_kendalls_score():
    source = random.Random(0)
    for n in range(2, 9):
        values = [source.choice([1.0, 2.0, 3.0, 4.0]) for _ in range(n)]
        pairs = itertools.combinations(values, 2)
        assert concordance(values) == sum((b > a) - (b < a) for a, b in pairs)


def test_trend_test_of_one_method_is_kendalls_tau():
    records = run(1, 25, lambda share: 1 - 0.05 * share, sigma=0.02)
    exact = stats.kendalltau(range(25), [-record.step_ns[0] for record in records]).pvalue
    assert drift(records).p_value == pytest.approx(exact, abs=0.01)


def test_slow_warming_is_found_with_its_size():
    found = drift(run(4, 5, lambda share: 1 - 0.2 * share))
    assert found.change == pytest.approx(-0.2, abs=0.05)


def test_step_is_located():
    found = drift(run(4, 6, lambda share: 1 if share < 0.5 else 0.8))
    assert found.at_trial == pytest.approx(13, abs=1)


def test_steady_machine_has_no_drift():
    found = [drift(run(4, 5, lambda _: 1, seed=seed)) for seed in range(100)]
    assert sum(each is not None for each in found) <= 8


def test_three_trials_of_two_methods_cannot_show_a_trend():
    assert drift(run(2, 3, lambda share: 1 - 0.01 * share)) is None


def test_drift_too_small_to_matter_is_not_told():
    assert drift(run(4, 30, lambda share: 1 - 0.01 * share, sigma=0.001)) is None


def test_a_server_that_becomes_slower_is_no_drift_of_this_machine():
    steady, falling = run(2, 12, lambda _: 1), run(1, 24, lambda share: 1 - 0.4 * share)
    for name, is_told in (("int8", True), ("endpoint", False), ("endpoint:mine", False)):
        named = [msgspec.structs.replace(record, method=name) for record in falling]
        records = [*itertools.chain.from_iterable(zip(steady, named, strict=True))]
        assert (drift_of_run(records, by_method(records)) is not None) is is_told


def test_no_trials_have_no_drift():
    assert drift([]) is None


def test_a_trend_over_thousands_of_trials_is_found():
    found = drift(run(2, 1500, lambda share: 1 - 0.1 * share, sigma=0.1))
    assert found.change == pytest.approx(-0.1, abs=0.02)
    assert found.n_trials == 3000


def test_a_run_with_trials_of_one_token_has_its_drift_from_the_others():
    records = run(4, 5, lambda share: 1 - 0.2 * share)
    short = TrialRecord(method="m0", index=9, step_ns=(), finished=datetime.now(UTC))
    assert drift_of_run([short, *records], by_method([short, *records])) == drift(records)
