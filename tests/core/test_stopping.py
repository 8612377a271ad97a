from datetime import UTC, datetime

import pytest

from tuibench.core.record import TrialRecord
from tuibench.core.stopping import decode_speed, enough, precise_enough


def trials(*speeds_tps):
    return [
        TrialRecord(method="m", index=i, step_ns=(round(1e9 / tps),), finished=datetime.now(UTC))
        for i, tps in enumerate(speeds_tps)
    ]


STEADY = trials(10.0, 10.1, 9.95)


def test_running_interval_spans_the_median():
    speed = decode_speed(STEADY)
    assert speed.low < speed.median < speed.high
    assert speed.median == pytest.approx(10.0)
    assert decode_speed([]) is None


def test_two_trials_are_never_enough():
    assert not precise_enough(trials(10.0, 10.0), precision=0.5)


@pytest.mark.parametrize(("precision", "expected"), [(0.05, True), (0.01, False)])
def test_precision_decides(precision, expected):
    assert precise_enough(STEADY, precision=precision) is expected


def test_every_method_must_be_known():
    assert enough({"a": STEADY}, precision=0.05)
    assert not enough({"a": STEADY, "b": trials(10.0, 13.0, 8.0)}, precision=0.05)


def test_least_trials_and_least_time_are_kept():
    assert not enough({"a": STEADY}, precision=0.05, min_trials=4)
    assert not enough({"a": STEADY}, precision=0.05, min_time_ns=10**9)
