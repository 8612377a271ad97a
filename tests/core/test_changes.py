import dataclasses

import msgspec
import pytest

from tests.measured_runs import PARENTS, measured, trials
from tests.scripted import header
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.changes import CAVEAT, change_lines, changes
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.statistics.stats import Outcome, ratio_of_medians

MACHINE = header().machine


def test_each_method_gets_a_sentence_the_slower_one_with_its_factor_turned_round():
    before, after = measured("yesterday", kv_cache=10, int8=60), measured("today", kv_cache=22.2, int8=30)
    title, faster, slower, caveat = change_lines(compare([before, after], parents=PARENTS))
    assert title == "yesterday → today"
    assert faster.startswith("kv-cache: 2.22× faster [2.1")
    assert faster.endswith("], 10.1 → 22.3 tok/s")
    speeds = [[1e9 / each.step_ns[0] for each in run.trials if each.method == "int8"] for run in (before, after)]
    expected = ratio_of_medians(*speeds)
    assert slower.startswith(f"int8: {expected.value:.2f}× slower [{expected.low:.2f}, {expected.high:.2f}], ")
    assert caveat == CAVEAT


def test_the_other_way_round_it_is_the_other_way_round():
    runs = [measured("yesterday", kv_cache=10), measured("today", kv_cache=22.2)]
    (found,) = changes(compare(runs[::-1], parents=PARENTS))
    assert found.title == "today → yesterday"
    assert found.methods[0].outcome is Outcome.LESS
    assert "2.22× slower" in str(found.methods[0])


def test_equal_speeds_and_too_few_trials_claim_nothing():
    before = measured("a", kv_cache=10)
    (none,) = changes(compare([before, measured("b", kv_cache=10)], parents=PARENTS))
    assert str(none.methods[0]).startswith("kv-cache: no difference can be told [")
    few = MeasuredRun("b", ("kv-cache",), tuple(trials("kv-cache", 20, n=2)))
    (unknown,) = changes(compare([before, few], parents=PARENTS))
    assert "too few trials to tell (2." in str(unknown.methods[0])


def test_a_method_that_one_run_lacks_is_named():
    runs = [measured("a", kv_cache=10, onnx=5), measured("b\x1b", kv_cache=10, int8=30)]
    (found,) = changes(compare(runs, parents=PARENTS))
    assert [str(each) for each in found.methods[1:]] == ["onnx: not measured in b␛", "int8: not measured in a"]
    assert [each.outcome for each in found.methods[1:]] == [None, None]


def test_a_badly_disturbed_side_is_named():
    runs = [measured("a", kv_cache=10), MeasuredRun("b", ("kv-cache",), tuple(trials("kv-cache", 20, lamp=Lamp.RED)))]
    (found,) = changes(compare(runs, parents=PARENTS))
    assert str(found.methods[0]).endswith("tok/s · disturbed in b")


@pytest.mark.parametrize("known", [True, False])
def test_what_the_machines_do_not_share_stands_beside_the_title(known):
    before = msgspec.structs.replace(MACHINE, libraries={"onnxruntime": "1.31"})
    after = msgspec.structs.replace(MACHINE, libraries={"onnxruntime": "1.32"})
    runs = [measured("a", kv_cache=10), measured("b", kv_cache=10)]
    machines = (before, after if known else None)
    runs = [dataclasses.replace(run, machine=machine) for run, machine in zip(runs, machines, strict=True)]
    line = change_lines(compare(runs, parents=PARENTS))[0]
    assert line == ("a → b   onnxruntime 1.31 → 1.32" if known else "a → b")


def test_three_runs_are_each_held_against_the_first():
    runs = [measured(name, kv_cache=tps) for name, tps in (("a", 10), ("b", 20), ("c", 40))]
    found = changes(compare(runs, parents=PARENTS))
    assert [each.title for each in found] == ["a → b", "a → c"]
    assert "4.00× faster" in str(found[1].methods[0])


def test_a_single_run_changed_nothing():
    assert change_lines(compare([measured(kv_cache=10)], parents=PARENTS)) == []
