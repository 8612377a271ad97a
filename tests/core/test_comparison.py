import dataclasses
from datetime import timedelta

import msgspec
import pytest

from tests.measured_runs import PARENTS, measured, quality, trials
from tests.scripted import FINISHED, failed, record
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import UnknownYardstickError, compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.rows_of_run import pareto
from tuibench.core.results.rungs import nearest_rungs
from tuibench.core.run.events import FailureKind
from tuibench.core.run.record import QualityRecord
from tuibench.core.statistics.stats import Outcome, ratio_by_round


def test_step_and_total_gain_skip_rungs_that_were_not_measured():
    run = measured(baseline=3, kv_cache=12, onnx_fused=36)
    row = compare([run], parents=PARENTS).row(0, "onnx-fused")
    assert (row.step.method, row.total.method) == ("kv-cache", "baseline")
    assert row.step.ratio.value == pytest.approx(3, rel=0.05)
    assert row.total.ratio.value == pytest.approx(12, rel=0.05)
    assert row.step.ratio.paired
    assert row.step.ratio.outcome is Outcome.GREATER


def test_the_lowest_rung_gains_over_nothing():
    row = compare([measured(baseline=3, kv_cache=12)], parents=PARENTS).row(0, "baseline")
    assert row.step is None
    assert row.total is None


def test_yardstick_is_the_fp32_reference_or_the_lowest_rung_or_what_was_asked_for():
    assert compare([measured(baseline=3, kv_cache=12)], parents=PARENTS).yardstick == "kv-cache"
    assert compare([measured(int8=30, onnx=12)], parents=PARENTS).yardstick == "onnx"
    assert compare([measured(baseline=3, kv_cache=12)], parents=PARENTS, yardstick="baseline").yardstick == "baseline"
    assert compare([measured()], parents=PARENTS).yardstick is None
    with pytest.raises(UnknownYardstickError, match="'onnx' was not measured; measured: baseline, kv-cache"):
        compare([measured(baseline=3, kv_cache=12)], parents=PARENTS, yardstick="onnx")


def test_same_method_is_compared_with_the_first_run():
    found = compare([measured(kv_cache=12), measured("second", kv_cache=6)], parents=PARENTS)
    assert found.row(0, "kv-cache").vs_first_session is None
    ratio = found.row(1, "kv-cache").vs_first_session
    assert ratio.value == pytest.approx(0.5, rel=0.05)
    assert not ratio.paired
    assert ratio.outcome is Outcome.LESS


def test_a_run_without_the_yardstick_does_not_borrow_that_of_another():
    found = compare([measured(kv_cache=10), measured("second", int8=30)], parents=PARENTS)
    assert found.row(1, "int8").against_yardstick is None


def test_rounds_that_both_survived_are_paired_and_too_few_of_them_are_not():
    ours, theirs = trials("int8", 30, n=5), trials("kv-cache", 10, n=5)
    run = MeasuredRun("a", ("kv-cache", "int8"), (*theirs[:4], *ours[1:]))
    ratio = compare([run], parents=PARENTS).row(0, "int8").against_yardstick.ratio
    assert (ratio.n, ratio.paired) == (3, True)
    run = MeasuredRun("a", ("kv-cache", "int8"), (*theirs[:3], *ours[2:]))
    assert not compare([run], parents=PARENTS).row(0, "int8").against_yardstick.ratio.paired


def test_who_generated_less_than_was_asked_for_is_marked():
    run = measured(kv_cache=10, int8=30)
    short, *others = of(run, "int8")
    shorter = msgspec.structs.replace(short, token_ids=short.token_ids[:1])
    asked = dataclasses.replace(run, n_asked=len(short.token_ids), trials=(*others, shorter, *of(run, "kv-cache")))
    found = compare([asked], parents=PARENTS)
    assert found.row(0, "int8").flags[0] == f"1 token was generated where {asked.n_asked} were asked for"
    assert found.row(0, "kv-cache").flags == ()
    sampled = dataclasses.replace(asked, greedy=False)
    assert compare([sampled], parents=PARENTS).row(0, "int8").flags == ()


def of(run, method):
    return tuple(each for each in run.trials if each.method == method)


def test_a_round_that_an_interruption_tore_apart_is_no_pair():
    # The machine of the next day is a tenth faster; the fourth round's second method was measured on it.
    resumed = FINISHED + timedelta(days=1)
    ours, theirs = trials("int8", 30, n=6, sigma=0.001), trials("kv-cache", 10, n=6, sigma=0.001)

    def next_day(each):
        step_ns = tuple(round(ns / 1.1) for ns in each.step_ns)
        return msgspec.structs.replace(each, step_ns=step_ns, finished=resumed + timedelta(minutes=1))

    ours, theirs = [*ours[:3], *map(next_day, ours[3:])], [*theirs[:4], *map(next_day, theirs[4:])]
    torn = MeasuredRun("a", ("kv-cache", "int8"), (*theirs, *ours), resumed=(resumed,))
    ratio = compare([torn], parents=PARENTS).row(0, "int8").against_yardstick.ratio
    assert (ratio.n, ratio.paired) == (5, True)
    assert ratio.value == pytest.approx(3, rel=0.003)


def test_ratio_of_any_two_methods_is_that_of_their_rounds():
    run = measured(kv_cache=10, int8=30)
    speeds = {method: [DECODE.compute(each) for each in run.trials if each.method == method] for method in run.methods}
    found = compare([run], parents=PARENTS)
    assert found.speed_ratio(0, "int8", "kv-cache") == ratio_by_round(speeds["int8"], speeds["kv-cache"])
    assert found.speed_ratio(0, "int8", "onnx") is None


def test_a_failed_method_keeps_its_row_without_numbers():
    run = MeasuredRun("a", ("kv-cache", "int8"), (*trials("kv-cache", 10), failed("int8", FailureKind.CRASHED)))
    row = compare([run], parents=PARENTS).row(0, "int8")
    assert row.n_trials == 0
    assert row.median(DECODE) is None
    assert row.step is None
    assert row.failure.failure_kind is FailureKind.CRASHED


def test_warmups_are_in_no_figure():
    run = MeasuredRun("a", ("kv-cache",), (record("kv-cache", warmup=True, step_ns=(1,)), *trials("kv-cache", 10)))
    assert compare([run], parents=PARENTS).row(0, "kv-cache").metrics["decode_tps"].n == 3


def test_text_is_compared_with_the_reference_where_tokens_were_not_drawn():
    run = MeasuredRun(
        "a",
        ("kv-cache", "int8"),
        (*trials("kv-cache", 10, token_ids=(1, 2, 3)), *trials("int8", 20, token_ids=(1, 2, 4))),
    )
    row = compare([run], parents=PARENTS).row(0, "int8")
    assert (row.agreement.first_divergence, row.agreement.n_compared) == (2, 3)
    assert compare([run], parents=PARENTS).row(0, "kv-cache").agreement is None
    drawn = dataclasses.replace(run, label="b", greedy=False)
    assert [row.agreement is None for row in compare([run, drawn], parents=PARENTS).rows] == [True, False, True, True]


def test_texts_drawn_at_random_are_no_reason_to_doubt_the_model():
    run = MeasuredRun(
        "a",
        ("kv-cache", "onnx"),
        (*trials("kv-cache", 10, token_ids=(1, 2, 3)), *trials("onnx", 20, token_ids=(1, 2, 4))),
    )
    for greedy, doubted in ((True, True), (False, False)):
        drawn = dataclasses.replace(run, greedy=greedy)
        flags = compare([drawn], parents=PARENTS, exact=["onnx"]).row(0, "onnx").flags
        assert any("perhaps not the same model" in flag for flag in flags) is doubted


def test_flags_are_told_once_and_the_worst_lamp_counts():
    records = trials("kv-cache", 10, n=6, validity=("2 threads on 1 usable CPUs",), lamp=Lamp.YELLOW)
    run = MeasuredRun("a", ("kv-cache",), (*records, record("kv-cache", index=6, step_ns=(10**9,), lamp=Lamp.GREEN)))
    row = compare([run], parents=PARENTS).row(0, "kv-cache")
    assert row.flags == ("2 threads on 1 usable CPUs", "trial 7 is an outlier (1 tok/s)")
    assert row.lamp is Lamp.YELLOW
    assert compare([measured(onnx=3)], parents=PARENTS).row(0, "onnx").lamp is None


def test_pareto_set_leaves_out_what_is_slower_and_worse():
    scores = [quality("onnx-fused", 1e-7), quality("int8", 0.004), quality("int4", 0.4)]
    run = measured(quality_of=scores, kv_cache=12, onnx_fused=30, int8=60, int4=50)
    best = {row.method for row in compare([run], parents=PARENTS).rows if row.best_for_its_quality}
    assert best == {"onnx-fused", "int8"}  # 1e-7 is rounding: kv-cache is only slower


def test_nothing_is_best_without_quality():
    assert not any(row.best_for_its_quality for row in compare([measured(kv_cache=1, int8=2)], parents=PARENTS).rows)


def test_pareto_keeps_equals():
    assert pareto({"a": (1.0, 0.1), "b": (1.0, 0.1), "c": (0.5, 0.1)}) == {"a", "b"}


def test_failed_quality_has_no_divergence():
    broken = QualityRecord(
        method="int8", eval_name="text", eval_sha256="0", failure_kind=FailureKind.ERROR, finished=FINISHED
    )
    row = compare([measured(quality_of=[broken], int8=3)], parents=PARENTS).row(0, "int8")
    assert row.quality is broken
    assert row.kld is None


def test_a_ladder_that_bites_its_tail_ends():
    assert list(nearest_rungs("a", {"a": "b", "b": "a"})) == ["b"]


def test_a_method_that_promises_the_reference_and_is_another_model_is_marked():
    run = measured(kv_cache=10, onnx=12, int8=30, quality_of=[quality("onnx", 0.02), quality("int8", 0.02)])
    found = compare([run], parents=PARENTS, exact=["kv-cache", "onnx"])
    assert "mean KLD 0.02" in found.row(0, "onnx").not_same_model
    assert found.row(0, "int8").not_same_model is None
    assert found.row(0, "kv-cache").not_same_model is None
