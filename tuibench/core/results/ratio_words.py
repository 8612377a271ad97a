"""What is said of a ratio besides its value."""

from __future__ import annotations

from tuibench.core import format as fmt
from tuibench.core.statistics.stats import Outcome, Ratio


def interval_and_outcome(ratio: Ratio) -> str:
    """Return a ratio's interval, or why there is none, and whether it holds 1."""
    match ratio.outcome:
        case Outcome.UNKNOWN:
            return "(too few trials to tell)"
        case Outcome.NONE:
            return f"{fmt.interval(ratio.low, ratio.high)} (no difference)"
        case _:
            return fmt.interval(ratio.low, ratio.high)
