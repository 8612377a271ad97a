import pytest

from tests.scripted import failed, record
from tuibench.core.results.metrics import DECODE, METRICS, OUTPUT, TPOT, first_divergence, summarise
from tuibench.core.run.events import FailureKind


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
