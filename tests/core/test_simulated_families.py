"""The short version of `tests/campaigns/statistics.py`."""

import pytest

from tests.campaigns.aa_series import lognormal
from tests.campaigns.statistics import Build, Family, family_rates, gate_rates
from tuibench.core.results.regression import Standing

N = 100
BY_CHANCE = 0.05 + 2 * (0.05 * 0.95 / N) ** 0.5
"""What a rate of 5 % is estimated at, at most, in all but 2.5 % of seeds."""


def test_of_thirteen_equal_methods_single_intervals_call_some_different_and_the_verdict_does_not():
    found = family_rates(Family(lognormal, 13, 3), N)
    assert found.single <= BY_CHANCE
    assert found.any_single > 0.2
    assert found.any_claimed <= BY_CHANCE
    assert found.fastest_alone <= BY_CHANCE


def test_the_verdict_finds_a_method_a_fifth_faster_among_six_in_five_rounds():
    assert family_rates(Family(lognormal, 6, 5, gain=0.2), N).planted_claimed > 0.8


@pytest.mark.parametrize("n_sessions", [1, 3])
@pytest.mark.parametrize("n_methods", [1, 6])
def test_the_gate_passes_an_unchanged_build(n_sessions, n_methods):
    found = gate_rates(Build(n_sessions, run_noise=0.03, loss=0.0, n_methods=n_methods), N)
    assert found[Standing.SLOWER] <= 0.025 + 2 * (0.025 * 0.975 / N) ** 0.5


def test_the_gate_fails_no_build_for_a_loss_that_is_allowed():
    found = gate_rates(Build(3, run_noise=0.03, loss=0.05), N)
    assert found[Standing.SLOWER] <= 0.025 + 2 * (0.025 * 0.975 / N) ** 0.5


def test_the_gate_finds_a_build_a_fifth_slower():
    assert gate_rates(Build(3, run_noise=0.02, loss=0.2), N)[Standing.SLOWER] > 0.9
    assert gate_rates(Build(1, run_noise=0.02, loss=0.2), N)[Standing.SLOWER] > 0.9
