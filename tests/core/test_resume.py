import pytest

from tests.scripted import failed, record
from tuibench.core.run.events import FailureKind
from tuibench.core.run.plan import trial_order
from tuibench.core.run.resume import missing

TURNS = trial_order(("a", "b"), 2)


def left(*records, retry_failed=False):
    return [(turn.method, turn.index) for turn in missing(TURNS, records, retry_failed=retry_failed)]


def test_turns_that_were_not_taken_are_missing_in_their_order():
    assert left() == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert left(record("a"), record("b", index=1)) == [("b", 0), ("a", 1)]


def test_a_warm_up_takes_no_turn():
    assert left(record("a", warmup=True)) == left()


def test_a_cancelled_trial_is_missing():
    assert left(record("a"), failed("b", FailureKind.CANCELLED)) == [("b", 0), ("b", 1), ("a", 1)]


@pytest.mark.parametrize(("kind", "n_left"), [(FailureKind.CRASHED, 3), (FailureKind.UNSUPPORTED, 2)])
def test_a_failed_trial_is_missing_only_where_it_shall_be_tried_again(kind, n_left):
    assert len(left(failed("a", kind))) == n_left  # after some failures the method's other turns are in vain
    assert left(failed("a", kind), retry_failed=True) == left()
