from datetime import UTC, datetime

from tuibench.core.run.record import TrialRecord


def record(index, ids, text):
    return TrialRecord(
        method="m", index=index, token_ids=ids, text=text, step_ns=(index,), finished=datetime(2026, 3, 1, tzinfo=UTC)
    )


def test_what_two_trials_say_alike_is_kept_once():
    earlier, later = record(0, tuple(range(1000, 1009)), "the same"), record(1, tuple(range(1000, 1009)), "the same")
    shared = later.sharing(earlier)
    assert shared == later
    assert shared.token_ids is earlier.token_ids
    assert shared.text is earlier.text


def test_what_differs_stays_its_own():
    earlier, later = record(0, (1, 2), "this"), record(1, (1, 3), "that")
    assert later.sharing(earlier) == later
