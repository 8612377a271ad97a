import dataclasses
import itertools

import msgspec
import pytest

from tests.measured_runs import PARENTS, measured, quality, trials
from tests.scripted import FINISHED, failed
from tuibench.core.machine.validity import Lamp
from tuibench.core.present.method_sentence import method_sentence
from tuibench.core.present.verdict_lines import headlines, recommendation_lines, verdict_lines
from tuibench.core.results.comparison import compare
from tuibench.core.results.evidence import Grade
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.verdict import recommend
from tuibench.core.run.events import FailureKind
from tuibench.core.run.record import QualityRecord

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


def test_yardstick_is_told_in_absolute_figures():
    run = MeasuredRun("a", ("kv-cache",), tuple(trials("kv-cache", 10, sigma=0)))
    assert sentence_of(run, "kv-cache").startswith("kv-cache: 10.0 tok/s, the yardstick, TTFT 90.0 ms")


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


def test_an_outlier_does_not_make_trials_of_a_quiet_machine_doubtful():
    alike, far = (trials("kv-cache", tps, n=n, lamp=Lamp.GREEN) for tps, n in ((10, 5), (30, 1)))
    run = MeasuredRun("a", ("kv-cache",), (*alike, *far))
    assert "· valid, but trial 1 is an outlier (30" in sentence_of(run, "kv-cache")


def test_trials_whose_length_is_wrong_are_not_clean_on_a_quiet_machine():
    run = dataclasses.replace(measured(kv_cache=10), n_asked=1)
    run = dataclasses.replace(run, trials=tuple(msgspec.structs.replace(each, lamp=Lamp.GREEN) for each in run.trials))
    row = compare([run], parents=PARENTS).row(0, "kv-cache")
    assert row.flags
    assert row.lamp is Lamp.YELLOW


def test_a_method_that_did_less_work_is_taken_with_a_doubt_only():
    run = dataclasses.replace(measured(quality_of=[quality("int8", 0.004)], kv_cache=10, int8=30), n_asked=1)
    found = recommend(compare([run], parents=PARENTS))
    assert found.grade is Grade.PROBABLY
    assert any("where 1 were asked for" in reason for reason in found.because)


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


def of_lamps(lamps, *, tps=60, others=(Lamp.GREEN,) * 3, quality_of=SCORES):
    """Return what to take of a run whose fastest method has these lamps; a second one is three times slower."""
    ours = [
        msgspec.structs.replace(each, lamp=lamp, validity=("other processes used 51 % of the CPU",))
        for each, lamp in zip(trials("int8", tps, n=len(lamps)), lamps, strict=True)
    ]
    theirs = [
        msgspec.structs.replace(each, lamp=lamp)
        for each, lamp in zip(trials("onnx-fused", 20, n=len(others)), others, strict=True)
    ]
    run = MeasuredRun("a", ("int8", "onnx-fused"), (*ours, *theirs), tuple(quality_of))
    return recommend(compare([run], parents=PARENTS))


@pytest.mark.parametrize(
    ("lamps", "headline"),
    [
        ("ggggg", "take int8: fastest within KLD ≤ 0.05"),
        ("ggyyg", "take int8: fastest within KLD ≤ 0.05"),
        ("gyyyg", "probably int8: fastest within KLD ≤ 0.05, but 3 of 5 trials were disturbed"),
        ("ggrgg", "probably int8: fastest within KLD ≤ 0.05, but 1 of 5 trials was badly disturbed"),
        ("rrrgg", "cannot tell: measure again, because 3 of 5 trials were badly disturbed"),
        ("rrrrr", "cannot tell: measure again, because 5 of 5 trials were badly disturbed"),
        ("gg", "cannot tell: measure again, because 2 trials of int8 are too few"),
        ("g", "cannot tell: measure again, because 1 trial of int8 is too few"),
    ],
)
def test_evidence_grades_the_headline(lamps, headline):
    colours = {"g": Lamp.GREEN, "y": Lamp.YELLOW, "r": Lamp.RED}
    found = of_lamps([colours[letter] for letter in lamps])
    assert found.headline == headline
    assert headline.startswith(found.grade)
    assert found.sentence.startswith(headline)
    assert found.fastest == "int8"


def test_what_disturbed_is_told_beside_a_doubt_only():
    told = "disturbed, for example: other processes used 51 % of the CPU"
    assert told in of_lamps([Lamp.RED] * 3).remarks
    assert told not in of_lamps([Lamp.GREEN, Lamp.GREEN, Lamp.YELLOW]).remarks


def test_a_method_far_behind_may_be_disturbed():
    assert of_lamps([Lamp.GREEN] * 3, others=[Lamp.RED] * 3).grade is Grade.TAKE
    assert of_lamps([Lamp.GREEN] * 3, tps=30, others=[Lamp.RED] * 3).grade is Grade.CANNOT_TELL


def test_conditions_that_were_not_recorded_speak_against_nothing():
    assert of_lamps([None] * 3, others=[None] * 3).grade is Grade.TAKE


def test_a_divergence_that_may_be_above_the_bound_is_a_doubt():
    for kld, grade in ((0.04, Grade.TAKE), (0.049, Grade.PROBABLY)):  # ± a tenth
        found = of_lamps([Lamp.GREEN] * 3, quality_of=[quality("int8", kld)])
        assert found.grade is grade
    assert found.because == ("its KLD may be above 0.05",)


def test_methods_that_could_not_be_judged_are_named_with_the_reason():
    broken = QualityRecord(
        method="int8", eval_name="t", eval_sha256="0", failure_kind=FailureKind.TIMED_OUT, finished=FINISHED
    )
    run = measured(quality_of=[quality("onnx", 1e-7), broken], kv_cache=12, onnx=30, int8=20, int4=25, int3=10)
    run = dataclasses.replace(run, trials=(*run.trials, failed("int2", FailureKind.CRASHED)))
    found = recommend(compare([run], parents=PARENTS))
    assert found.headline == "take onnx: fastest within KLD ≤ 0.05"
    assert found.unjudged == {
        "int8": "quality failed", "int4": "quality not measured", "int3": "quality not measured", "int2": "crashed",
    }  # fmt: skip
    assert found.remarks[-1] == "left out: int8 (quality failed), int4, int3 (quality not measured), int2 (crashed)"


def test_a_faster_method_that_could_not_be_judged_is_a_doubt():
    run = measured(quality_of=[quality("onnx", 1e-7)], kv_cache=12, onnx=30, int8=60)
    assert recommend(compare([run], parents=PARENTS)).headline == (
        "probably onnx: fastest within KLD ≤ 0.05, but int8 is faster and not judged"
    )


def test_another_model_is_left_out_and_named():
    run = measured(quality_of=[quality("onnx", 0.02), quality("int8", 0.004)], kv_cache=12, onnx=90, int8=60)
    found = recommend(compare([run], parents=PARENTS, exact=["onnx"]))
    assert found.headline == "take int8: fastest within KLD ≤ 0.05"
    assert "left out: onnx (not the same model)" in found.remarks


def test_nothing_is_recommended_without_quality():
    found = recommend(compare([measured(kv_cache=12, onnx=12.01, int8=5)], parents=PARENTS))
    assert found.fastest is None
    assert found.smallest is None
    assert found.unjudged == {}
    assert found.sentence == (
        "cannot tell: measure again, because quality was not measured; "
        "fastest so far: onnx, not told apart from kv-cache"
    )


def test_without_quality_the_fastest_with_the_same_text_is_named():
    run = MeasuredRun("a", ("kv-cache", "int8"), (*trials("kv-cache", 12), *trials("int8", 60, token_ids=(1, 2))))
    assert recommend(compare([run], parents=PARENTS)).remarks == (
        "fastest so far: int8",
        "fastest with kv-cache's text: kv-cache",
    )


@pytest.mark.parametrize("run", [measured(), MeasuredRun("a", ("int8",), (failed("int8", FailureKind.CRASHED),))])
def test_nothing_measured_is_said(run):
    assert recommend(compare([run], parents=PARENTS)).sentence.startswith("nothing was measured")


@pytest.mark.parametrize(
    ("klds", "headline"),
    [
        ({"int4": 0.4, "int3": 0.5}, "no method lies within KLD ≤ 0.05; fastest: int3"),
        ({"int4": 0.4}, "int4 does not lie within KLD ≤ 0.05"),
    ],
)
def test_nothing_close_enough_is_said_where_all_were_scored(klds, headline):
    run = measured(quality_of=itertools.starmap(quality, klds.items()), **dict(zip(klds, (20, 30), strict=False)))
    found = recommend(compare([run], parents=PARENTS))
    assert (found.headline, found.grade, found.fastest) == (headline, None, None)
    assert found.remarks == ()


def test_nothing_is_claimed_of_methods_that_were_not_scored():
    run = measured(quality_of=[quality("int4", 0.4)], int4=90, onnx=30, int8=20)
    found = recommend(compare([run], parents=PARENTS))
    assert found.headline == (
        "cannot tell: measure again, because the quality of onnx, int8 is not known and int4 lies beyond KLD 0.05"
    )
    assert (found.grade, found.fastest, found.smallest) == (Grade.CANNOT_TELL, None, None)
    assert found.remarks == ("fastest so far: onnx",)


def test_a_reference_that_alone_was_scored_says_nothing_of_the_others():
    run = measured(quality_of=[quality("kv-cache", 2e-10)], kv_cache=12, int8=60)
    found = recommend(compare([run], parents=PARENTS))
    assert found.headline == "cannot tell: measure again, because quality was measured only for kv-cache"
    assert (found.grade, found.fastest) == (Grade.CANNOT_TELL, None)


@pytest.mark.parametrize("scores", [(), (quality("kv-cache", 2e-10),)])
def test_beside_the_reference_there_is_nothing_to_choose_from(scores):
    run = measured(quality_of=scores, kv_cache=12)
    run = dataclasses.replace(run, trials=(*run.trials, failed("int8", FailureKind.CRASHED)))
    found = recommend(compare([run], parents=PARENTS))
    assert (found.headline, found.grade) == ("nothing to choose from but kv-cache", None)
    assert found.remarks == ("left out: int8 (crashed)",)


def test_each_method_has_a_sentence():
    run = measured(quality_of=SCORES, kv_cache=12, int8=60)
    lines = verdict_lines(compare([run], parents=PARENTS))
    assert [line.split(":")[0] for line in lines] == ["kv-cache", "int8"]


def test_headlines_name_the_run_where_there_are_several():
    runs = [measured(name, quality_of=SCORES, kv_cache=12, int8=60) for name in ("a", "b\x1b")]
    assert headlines(compare(runs[:1], parents=PARENTS)) == ["take int8: fastest within KLD ≤ 0.05"]
    found = compare(runs, parents=PARENTS)
    assert headlines(found) == [f"{label}: take int8: fastest within KLD ≤ 0.05" for label in ("a", "b␛")]
    assert [line.endswith("Pareto set: int8, kv-cache") for line in recommendation_lines(found)] == [True, True]


def test_a_row_whose_run_lacks_the_yardstick_says_so():
    found = compare([measured(kv_cache=10), measured("second", int8=30)], parents=PARENTS)
    sentence = method_sentence(found, found.row(1, "int8"))
    assert sentence.startswith("int8: 30.1 tok/s, kv-cache not measured beside it, TTFT 90.0 ms")


def test_disturbed_trials_are_not_valid():
    run = MeasuredRun("a", ("kv-cache",), tuple(trials("kv-cache", 10, lamp=Lamp.RED)))
    assert sentence_of(run, "kv-cache").endswith("· disturbed")
