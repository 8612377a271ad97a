import pytest

from tests.measured_runs import PARENTS, measured, quality, trials
from tests.scripted import FINISHED, failed
from tuibench.core.comparison import MeasuredRun, compare
from tuibench.core.events import FailureKind
from tuibench.core.record import QualityRecord
from tuibench.core.validity import Lamp
from tuibench.core.verdict import method_sentence, recommend, verdict_lines

SCORES = [quality("onnx-fused", 1e-7), quality("int8", 0.004), quality("int4", 0.4)]


def sentence_of(run, method):
    found = compare([run], parents=PARENTS)
    return method_sentence(found, found.row(0, method))


def test_sentence_holds_gain_memory_quality_text_and_validity():
    reference = trials("kv-cache", 10, sigma=0, ttft_ns=100, peak_rss_bytes=1000, token_ids=(1, 2, 3), lamp=Lamp.GREEN)
    ours = trials("int8", 54, sigma=0, ttft_ns=69, peak_rss_bytes=390, token_ids=(1, 2, 4), lamp=Lamp.GREEN)
    run = MeasuredRun("a", ("kv-cache", "int8"), (*reference, *ours), (quality("int8", 0.004),))
    head, gain, tail = sentence_of(run, "int8").partition("kv-cache [")
    assert head == "int8: 5.40× "
    assert gain
    assert tail.split("], ")[1] == (
        "TTFT −31 %, peak RSS −61 %, KLD 0.0040 ± 0.0004, top-1 97.0 %, first difference at token 3 · valid"
    )


def test_baseline_is_told_in_absolute_figures():
    run = MeasuredRun("a", ("kv-cache",), tuple(trials("kv-cache", 10, sigma=0)))
    assert sentence_of(run, "kv-cache").startswith("kv-cache: 10.0 tok/s, the baseline, TTFT 90.0 ms")


def test_missing_quality_is_said():
    assert "quality not measured" in sentence_of(measured(kv_cache=10, int8=20), "int8")


def test_failed_quality_is_said_with_its_reason():
    broken = QualityRecord(
        method="int8", eval_name="t", eval_sha256="0", failure_kind=FailureKind.TIMED_OUT, failure_message="took 900 s",
        finished=FINISHED,
    )  # fmt: skip
    assert "quality failed (took 900 s)" in sentence_of(measured(quality_of=[broken], kv_cache=10, int8=20), "int8")


def test_equal_speeds_are_no_difference():
    run = MeasuredRun("a", ("kv-cache", "onnx"), (*trials("kv-cache", 10), *trials("onnx", 10.02)))
    assert "(no difference)" in sentence_of(run, "onnx")


def test_two_trials_are_too_few_to_tell():
    run = MeasuredRun("a", ("kv-cache", "onnx"), (*trials("kv-cache", 10, n=2), *trials("onnx", 30, n=2)))
    assert "(too few trials to tell)" in sentence_of(run, "onnx")


def test_failed_method_tells_why_and_stays_harmless_on_a_terminal():
    run = MeasuredRun("a", ("int8",), (failed("int8", FailureKind.CRASHED, message="gone \x1b[2J"),))
    assert sentence_of(run, "int8") == "int8: crashed: gone ␛[2J"


def test_doubts_are_named():
    run = MeasuredRun("a", ("kv-cache",), tuple(trials("kv-cache", 10, validity=("swapped", "throttled"))))
    assert sentence_of(run, "kv-cache").endswith("· doubtful: swapped and 1 more")


def test_fastest_within_the_divergence_is_recommended_with_its_rule():
    run = measured(quality_of=SCORES, kv_cache=12, onnx_fused=30, int8=60, int4=90)
    found = recommend(compare([run], parents=PARENTS))
    assert (found.fastest, found.identical) == ("int8", "onnx-fused")
    assert found.pareto == ("int4", "int8", "onnx-fused")
    assert found.sentence.startswith("take int8: fastest within KLD ≤ 0.05; onnx-fused if the output must be identical")
    assert found.sentence.endswith("Pareto set: int4, int8, onnx-fused")


def test_a_rival_as_fast_is_named():
    run = measured(quality_of=[*SCORES, quality("int8-static", 0.01)], kv_cache=12, int8=60, int8_static=60.1)
    assert "not told apart from int8" in recommend(compare([run], parents=PARENTS)).sentence


def test_a_recommendation_from_disturbed_trials_says_so():
    run = MeasuredRun("a", ("int8",), tuple(trials("int8", 60, lamp=Lamp.RED)), (quality("int8", 0.004),))
    assert recommend(compare([run], parents=PARENTS)).sentence.endswith("measure again on a quieter machine")


def test_nothing_is_recommended_without_quality():
    found = recommend(compare([measured(kv_cache=12, int8=60)], parents=PARENTS))
    assert found.fastest is None
    assert found.sentence == "fastest: int8; no recommendation, because quality was not measured"


@pytest.mark.parametrize("run", [measured(), MeasuredRun("a", ("int8",), (failed("int8", FailureKind.CRASHED),))])
def test_nothing_measured_is_said(run):
    assert recommend(compare([run], parents=PARENTS)).sentence.startswith("nothing was measured")


def test_nothing_close_enough_is_said():
    run = measured(quality_of=[quality("int4", 0.4)], int4=90, onnx=3)
    assert recommend(compare([run], parents=PARENTS)).sentence == "no method lies within KLD ≤ 0.05; fastest: int4"


def test_recommendation_is_the_last_line():
    run = measured(quality_of=SCORES, kv_cache=12, int8=60)
    lines = verdict_lines(compare([run], parents=PARENTS))
    assert [line.split(":")[0] for line in lines] == ["kv-cache", "int8", "take int8"]
