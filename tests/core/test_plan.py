import pytest

from tests.scripted import FINISHED
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.run.plan import Turn, by_round, trial_order, trial_round, turn_tokens
from tuibench.core.run.record import TrialRecord

PER_ROUND = 0.97
"""Speed kept from one round to the next: 3 % slower."""


def drifting(n_methods, n_rounds):
    """A run of equally fast methods on a machine that slows down steadily, turn after turn, with no noise at all."""
    methods = tuple(f"method-{number}" for number in range(n_methods))
    turns = trial_order(methods, n_rounds)
    speeds = [20 * PER_ROUND ** (position / n_methods) for position in range(len(turns))]
    trials = [
        TrialRecord(
            method=turn.method, index=turn.index, step_ns=(round(1e12 / tps),), token_ids=(1, 2), finished=FINISHED
        )
        for turn, tps in zip(turns, speeds, strict=True)
    ]
    return MeasuredRun("drifting", methods, tuple(trials))


def largest_bias(n_methods, n_rounds):
    found = compare([drifting(n_methods, n_rounds)], parents={})
    ratios = [found.speed_ratio(0, row.method, "method-0") for row in found.rows[1:]]
    return max(abs(ratio.value - 1) for ratio in ratios)


@pytest.mark.parametrize("n_rounds", [3, 4, 5, 6, 7, 10])
@pytest.mark.parametrize("n_methods", [2, 3, 6, 13])
def test_equal_methods_are_equal_under_linear_drift(n_methods, n_rounds):
    cancels = n_rounds % 2 == 0 or n_methods % 2 == 1
    one_position = 1 - PER_ROUND ** (1 / n_methods)
    assert largest_bias(n_methods, n_rounds) < (1e-6 if cancels else 1.01 * one_position / n_rounds)


@pytest.mark.parametrize("n_rounds", [11, 15, 30])
def test_many_rounds_of_which_the_middle_half_counts_are_nearly_equal(n_rounds):
    assert largest_bias(6, n_rounds) < 0.003


@pytest.mark.parametrize("n_methods", range(1, 9))
def test_every_round_has_each_method_once(n_methods):
    for n_rounds in range(14):
        turns = trial_order(range(n_methods), n_rounds)
        assert len(turns) == n_methods * n_rounds
        for index, turns_of_round in by_round(turns).items():
            assert sorted(turns_of_round, key=lambda turn: turn.method) == [Turn(i, index) for i in range(n_methods)]


@pytest.mark.parametrize("n_methods", range(1, 14))
def test_positions_add_up_to_the_same(n_methods):
    for n_rounds in range(2, 14):
        sums = dict.fromkeys(range(n_methods), 0)
        for position, turn in enumerate(trial_order(range(n_methods), n_rounds)):
            sums[turn.method] += position
        spread = max(sums.values()) - min(sums.values())
        # A sum of halves cannot be even.
        assert spread == (0 if n_rounds % 2 == 0 or n_methods % 2 == 1 else 1), n_rounds


@pytest.mark.parametrize(("n_rounds", "order"), [(3, "abccabbca"), (4, "abccbacbaabc"), (5, "abccbaabccabbca")])
def test_mirrored_pairs_come_first_and_a_triple_ends_an_odd_number_of_rounds(n_rounds, order):
    assert "".join(turn.method for turn in trial_order("abc", n_rounds)) == order


def test_rounds_that_precision_adds_are_mirrored_pairs_of_what_is_left():
    added = [[turn.method for turn in trial_round("bd", index, 5)] for index in range(5, 9)]
    assert added == [["b", "d"], ["d", "b"], ["d", "b"], ["b", "d"]]


@pytest.mark.parametrize(("step_ms", "n_tokens"), [(1000, 1), (35, 1), (10, 5), (0.1, 16)])
def test_a_turn_takes_about_as_long_whatever_the_method(step_ms, n_tokens):
    assert turn_tokens([round(step_ms * 1e6)] * 7 + [10**10]) == n_tokens
