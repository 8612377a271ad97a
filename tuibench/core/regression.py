"""Whether a later run is slower than the first."""

from __future__ import annotations

from dataclasses import dataclass

from tuibench.core.comparison import Comparison, Row
from tuibench.core.stats import Outcome


@dataclass(frozen=True, slots=True)
class Regressions:
    """What became of the first run's methods in the others."""

    slower: tuple[Row, ...]
    """Slower by more than was allowed, and the interval says so."""
    unsure: tuple[Row, ...]
    """Slower by more than was allowed, with too few trials to tell."""
    missing: tuple[tuple[str, str], ...]
    """Runs, by label, and methods that they did not measure."""


def regressions(comparison: Comparison, allowed: float) -> Regressions:
    """Return the methods that are slower than in the first run.

    Args:
        comparison: Of at least two runs.
        allowed: The loss of speed that is accepted, as a fraction.
    """
    lost = [row for row in comparison.rows if row.against_first and row.against_first.value < 1 - allowed]
    measured = {row.method for row in comparison.of_run(0) if row.n_trials}
    return Regressions(
        slower=tuple(row for row in lost if row.against_first and row.against_first.outcome is Outcome.LESS),
        unsure=tuple(row for row in lost if row.against_first and row.against_first.outcome is Outcome.UNKNOWN),
        missing=tuple(
            (run.label, method)
            for number, run in enumerate(comparison.runs)
            for method in sorted(measured - {row.method for row in comparison.of_run(number) if row.n_trials})
        ),
    )
