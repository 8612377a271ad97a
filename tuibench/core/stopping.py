"""When a measurement knows enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuibench.core.metrics import DECODE
from tuibench.core.record import TrialRecord
from tuibench.core.stats import Estimate, estimate


def decode_speed(records: Sequence[TrialRecord]) -> Estimate | None:
    """Return the median decode speed so far with its running interval; None before there is one."""
    return estimate([speed for record in records if (speed := DECODE.compute(record)) is not None])


def precise_enough(records: Sequence[TrialRecord], *, precision: float) -> bool:
    """Return whether the median decode speed is known to within `precision`, a fraction of it, either side.

    Looking after every trial and stopping at the first narrow interval favours intervals that are narrow by chance:
    at a noise of 3 %, 95 % hold with a precision of 5 %, but 92 % with one of 2 %
    (`tests/campaigns/aa_series.py`).
    """
    speed = decode_speed(records)
    return speed is not None and speed.precision is not None and speed.precision <= precision


def enough(
    records_by_method: Mapping[str, Sequence[TrialRecord]],
    *,
    precision: float,
    min_trials: int = 0,
    min_time_ns: int = 0,
) -> bool:
    """Return whether every method is known precisely enough, after its fewest trials and its least time of decoding."""
    return all(
        len(records) >= min_trials
        and sum(sum(record.step_ns) for record in records) >= min_time_ns
        and precise_enough(records, precision=precision)
        for records in records_by_method.values()
    )
