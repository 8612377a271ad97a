"""Many methods against one yardstick: which differences stand when all of them are looked at together.

An interval of 95 % is wrong for one comparison in twenty; with twelve equal methods, one or another was wrong in a
third of all runs of three rounds. So what a sentence claims is corrected for the number of comparisons, by Holm's
step-down procedure on the p-values of the single ones: whatever depends on what, the chance that any of the
differences that are claimed is none is at most 5 % in a run (Holm 1979). The single intervals stay as they are.

What to take needs no correction: that a method is the fastest is claimed only where it was told apart from each of the
others, and a claim that needs all of its tests to agree is no more often wrong than one of them (Berger 1982,
intersection–union test).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from tuibench.core.results.comparison import Comparison
from tuibench.core.run.control import is_control
from tuibench.core.statistics.stats import COVERAGE


def holm(p_values: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Return p-values adjusted so that all that are at most α may be believed together with an error rate of α."""
    adjusted: dict[Hashable, float] = {}
    largest = 0.0
    ascending = sorted(p_values.items(), key=lambda item: item[1])
    for n_before, (name, p_value) in enumerate(ascending):
        largest = max(largest, min(1.0, (len(ascending) - n_before) * p_value))
        adjusted[name] = largest
    return adjusted


def adjusted_p_values(comparison: Comparison, run: int) -> dict[Hashable, float]:
    """Return, by method, how probable its difference from the yardstick is by chance, all methods of a run together."""
    p_values: dict[Hashable, float] = {}
    for row in comparison.of_run(run):
        p_value = row.against_yardstick.ratio.p_value if row.against_yardstick else None
        if p_value is not None and not is_control(row.method):
            p_values[row.method] = p_value
    return holm(p_values)


def stands(p_value: float) -> bool:
    """Return whether an adjusted p-value is small enough for a claim."""
    return p_value <= 1 - COVERAGE
