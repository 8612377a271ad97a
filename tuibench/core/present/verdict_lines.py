"""What a comparison amounts to, run by run: what to take, what each method achieves, and a drift if there was one."""

from __future__ import annotations

from tuibench.core import format as fmt
from tuibench.core.present.method_sentence import method_sentence
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.verdict import recommend


def headlines(comparison: Comparison) -> list[str]:
    """Return a line for each run, beside its label where there are several: what any account of them begins with."""
    return [
        f"{label_before(comparison, run)}{recommend(comparison, run).headline}" for run in range(len(comparison.runs))
    ]


def recommendation_lines(comparison: Comparison) -> list[str]:
    """Return the same with all remarks: what an account that scrolls away ends with."""
    return [
        f"{label_before(comparison, run)}{recommend(comparison, run).sentence}" for run in range(len(comparison.runs))
    ]


def label_before(comparison: Comparison, run: int) -> str:
    """Return what to write before a sentence about a run; nothing where it is the only one."""
    return f"{fmt.printable_line(comparison.runs[run].label)}: " if len(comparison.runs) > 1 else ""


def verdict_lines(comparison: Comparison, run: int = 0) -> list[str]:
    """Return the sentences of one run: its methods, and a drift if there was one."""
    lines = [method_sentence(comparison, row) for row in comparison.of_run(run)]
    drifted = comparison.drifts[run]
    if drifted is not None:
        faster = "faster" if drifted.change > 0 else "slower"
        lines.append(
            f"drift: the machine became {fmt.percent(abs(drifted.change))} {faster} during the run "
            f"({fmt.p_value(drifted.p_value)}), most of it at trial {drifted.at_trial} of {drifted.n_trials}"
        )
    return lines
