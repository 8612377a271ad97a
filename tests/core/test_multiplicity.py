import itertools
import random

import pytest

from tests.campaigns.aa_series import lognormal, simulated_run
from tests.measured_runs import PARENTS, trials
from tuibench.core.present.method_sentence import method_sentence
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.multiplicity import adjusted_p_values, holm
from tuibench.core.statistics.stats import Outcome


def closed_testing(p_values):
    """Holm's procedure as it is derived: Bonferroni's test of every set of hypotheses that holds the one asked about.

    A hypothesis is rejected where all sets with it are (Marcus, Peritz & Gabriel 1976).
    """
    sets = [s for n in range(1, len(p_values) + 1) for s in itertools.combinations(range(len(p_values)), n)]
    of_set = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets}
    return [max(of_set[s] for s in sets if i in s) for i in range(len(p_values))]


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_adjusted_p_values_are_those_of_closed_testing(n):
    source = random.Random(n)
    for _ in range(20):
        p_values = [source.random() ** 3 for _ in range(n)]
        adjusted = holm(dict(enumerate(p_values)))
        assert [adjusted[i] for i in range(n)] == pytest.approx(closed_testing(p_values))


def test_a_difference_that_one_of_many_may_show_by_chance_is_told_so():
    # One interval in twenty excludes 1: among runs of 13 equal methods, take the first in which only chance did.
    source = random.Random(0)
    names = tuple(f"method-{number}" for number in range(13))
    parents = dict.fromkeys(names)
    runs = (compare([simulated_run(lognormal, 3, source, names)], parents=parents) for _ in range(100))
    found, row = next(
        (found, row) for found in runs for row in found.rows[1:] if 0.01 < row.against_yardstick.ratio.p_value <= 0.05
    )
    assert row.against_yardstick.ratio.outcome is not Outcome.NONE
    assert adjusted_p_values(found, 0)[row.method] > 0.05
    assert "(perhaps chance: one of 12 comparisons)" in method_sentence(found, row)


def test_a_difference_that_stands_is_told_without_reserve():
    run = MeasuredRun("a", ("kv-cache", "int8"), (*trials("kv-cache", 10), *trials("int8", 30)))
    found = compare([run], parents=PARENTS)
    assert adjusted_p_values(found, 0) == {"int8": found.row(0, "int8").against_yardstick.ratio.p_value}
    assert "chance" not in method_sentence(found, found.row(0, "int8"))
