"""When a measurement knows enough."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from statistics import median

from tuibench.core.metrics import DECODE
from tuibench.core.record import TrialRecord

COVERAGE = 0.95


def precise_enough(records: Sequence[TrialRecord], *, precision: float) -> bool:
    """Return whether the median decode speed is known to within `precision`, a fraction of it, either side.

    The interval lies between two order statistics, whatever the distribution is (Conover 1999, §3.2): six trials are
    the fewest that give one of 95 %.
    """
    speeds = sorted(speed for record in records if (speed := DECODE.compute(record)) is not None)
    n = len(speeds)
    n_outside = 0  # values that may be left out at either end
    while 1 - 2 * sum(comb(n, k) for k in range(n_outside + 1)) / 2**n >= COVERAGE:
        n_outside += 1
    if not n_outside:
        return False
    low, high, middle = speeds[n_outside - 1], speeds[n - n_outside], median(speeds)
    return max(high - middle, middle - low) <= precision * middle
