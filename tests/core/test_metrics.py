import msgspec
import pytest

from tests.scripted import failed, record
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.metrics import DECODE, METRICS, OUTPUT, TPOT, first_divergence, of_method, summarise
from tuibench.core.run.events import FailureKind
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.shape import Shape


def test_tpot_and_decode_speed_leave_the_first_token_out():
    trial = record(ttft_ns=10**12, step_ns=(20_000_000, 30_000_000))
    assert TPOT.compute(trial) == 25_000_000
    assert DECODE.compute(trial) == pytest.approx(40.0)


def test_output_speed_counts_everything_from_the_request():
    trial = record(ttft_ns=500_000_000, step_ns=(250_000_000, 250_000_000), token_ids=(1, 2, 3))
    assert OUTPUT.compute(trial) == pytest.approx(3.0)


def test_a_trial_of_one_token_has_no_decode_speed():
    trial = record(step_ns=(), token_ids=(1,))
    assert TPOT.compute(trial) is None
    assert DECODE.compute(trial) is None


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.id)
def test_a_failed_trial_has_no_metric(metric):
    assert metric.compute(failed("a", FailureKind.CRASHED)) is None


def test_summarise_takes_the_median_and_ignores_trials_without_the_number():
    trials = [record(ttft_ns=value) for value in (3, 1, 10)] + [failed("a", FailureKind.CRASHED)]
    ttft = next(metric for metric in METRICS if metric.id == "ttft_ns")
    summary = summarise(ttft, trials)
    assert (summary.median, summary.low, summary.high, summary.n) == (3, 1, 10, 3)
    assert summarise(ttft, []) is None


def test_first_divergence_is_the_first_token_that_differs():
    assert first_divergence(record(token_ids=(1, 2, 3)), record(token_ids=(1, 9, 3))) == 1
    assert first_divergence(record(token_ids=(1, 2)), record(token_ids=(1, 2, 3))) is None


def test_every_metric_has_a_name_of_its_own():
    assert len({metric.id for metric in METRICS}) == len(METRICS)
    assert len({metric.short for metric in METRICS}) == len(METRICS)


def test_a_server_has_the_figures_that_need_no_process_and_no_predictions_of_its_own():
    found = {metric.id for metric in of_method(METRICS, "endpoint:mine")}
    assert {metric.id for metric in METRICS} - found == {"load_ns", "peak_rss_bytes", "artifact_bytes"}
    assert of_method(METRICS, "kv-cache") == METRICS
    assert lacks("endpoint", Need.PREDICTIONS)
    assert not lacks("kv-cache", Need.PREDICTIONS)


def test_what_only_several_users_have_is_told_of_their_runs_alone():
    shape = Shape(max_new_tokens=8, n_threads=1)
    alone = MeasuredRun("one", ("kv-cache",), (), shape=shape)
    together = MeasuredRun("two", ("kv-cache",), (), shape=msgspec.structs.replace(shape, n_users=2))
    told = [[compare(runs, parents={}).tells(metric) for metric in METRICS] for runs in ([alone], [alone, together])]
    untold = [metric.id for metric, one in zip(METRICS, told[0], strict=True) if not one]
    assert untold == ["total_decode_tps", "goodput_tps"]
    assert all(told[1])
