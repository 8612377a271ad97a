from tests.measured_runs import PARENTS, quality, trials
from tuibench.core.present.method_sentence import method_sentence
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.multiplicity import adjusted_p_values
from tuibench.core.results.rungs import default_yardstick, nearest_rungs
from tuibench.core.results.verdict import recommend
from tuibench.core.run.control import control_of, is_control, method_of

CONTROL = control_of("kv-cache")


def compared(control_tps, **speeds_tps):
    speeds_tps = {"kv-cache": 10, **{name.replace("_", "-"): tps for name, tps in speeds_tps.items()}}
    records = [each for method, tps in {**speeds_tps, CONTROL: control_tps}.items() for each in trials(method, tps)]
    run = MeasuredRun("a", (*speeds_tps, CONTROL), tuple(records), (quality("int8", 0.004), quality("onnx", 1e-9)))
    return compare([run], parents=PARENTS)


def test_a_control_is_called_after_its_method():
    assert (is_control(CONTROL), method_of(CONTROL)) == (True, "kv-cache")
    assert (is_control("kv-cache"), method_of("kv-cache")) == (False, "kv-cache")


def test_a_control_is_compared_with_the_method_it_measures_again():
    assert list(nearest_rungs(CONTROL, PARENTS)) == ["kv-cache", "baseline"]
    assert compared(10).row(0, CONTROL).step.method == "kv-cache"


def test_a_control_is_never_what_others_are_compared_with():
    assert default_yardstick([CONTROL, "onnx"], PARENTS) == "onnx"
    assert default_yardstick([CONTROL], PARENTS) is None


def test_equal_speeds_are_told_as_no_difference():
    found = compared(10)
    sentence = method_sentence(found, found.row(0, CONTROL))
    assert "× kv-cache, the same method [" in sentence
    assert "(no difference)" in sentence
    assert "quality" not in sentence


def test_a_control_that_differs_casts_doubt_on_small_differences():
    found = compared(11)
    assert "as small as this proves nothing in this run" in method_sentence(found, found.row(0, CONTROL))


def test_a_control_is_no_comparison_of_the_run_and_is_never_recommended():
    found = compared(40, int8=30)
    assert set(adjusted_p_values(found, 0)) == {"int8"}
    assert recommend(found).fastest == "int8"
    assert CONTROL not in recommend(found).sentence
    assert not found.row(0, CONTROL).best_for_its_quality
