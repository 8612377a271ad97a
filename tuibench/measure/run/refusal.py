"""A trial that is not asked for, since it cannot be: a record with the reason, told and saved like any other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tuibench.core.run.plan import Turn
from tuibench.core.run.record import Failure, TrialRecord
from tuibench.core.run.run_events import TrialEnded, TrialStarted
from tuibench.core.run.trial_state import trial_record
from tuibench.measure.run.telling import Telling


def refuse(turn: Turn, failure: Failure, telling: Telling, save: Callable[[TrialRecord], None]) -> TrialRecord:
    """Tell and save that a turn cannot be taken; return its record."""
    telling.tell(TrialStarted(turn.method, turn.index, warmup=False, n_expected=0, shape=turn.shape))
    record = trial_record(
        telling.trial(turn.method),
        fresh=False,
        observer_cpu_ns=None,
        validity=(),
        failure=failure,
        finished=datetime.now(UTC),
    )
    save(record)
    telling.tell(TrialEnded(record))
    return record
