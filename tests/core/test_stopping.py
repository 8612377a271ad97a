from datetime import UTC, datetime

import pytest

from tuibench.core.results.stopping import Measured, precise_enough
from tuibench.core.run.record import TrialRecord

STEADY = (10.0, 10.1, 9.95)


def trial(*step_ns):
    return TrialRecord(method="m", index=0, step_ns=step_ns, finished=datetime.now(UTC))


def test_two_trials_are_never_enough():
    assert not precise_enough((), precision=0.5)
    assert not precise_enough((10.0, 10.0), precision=0.5)


@pytest.mark.parametrize(("precision", "expected"), [(0.05, True), (0.01, False)])
def test_precision_decides(precision, expected):
    assert precise_enough(STEADY, precision=precision) is expected


def test_what_is_known_counts_speeds_and_time_and_keeps_one_trial():
    known = Measured()
    for record in (trial(10**9, 10**9), trial(), trial(5 * 10**8)):
        known.add(record)
    assert known.speeds_tps == [1.0, 2.0]
    assert known.decoded_ns == 2_500_000_000
    assert known.latest is record
