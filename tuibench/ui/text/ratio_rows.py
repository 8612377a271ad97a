"""Speeds against the yardstick, a bar for each row. Pure: no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.row import Row
from tuibench.ui.text.columns import Cell
from tuibench.ui.text.row_names import RowNames, key


def ratio_of(comparison: Comparison, row: Row) -> float | None:
    """Return a row's speed against the yardstick, whose own is 1; None where there is no such ratio."""
    if not row.n_trials:
        return None
    if row.against_yardstick is not None:
        return row.against_yardstick.ratio.value
    return 1.0 if row.method == comparison.yardstick else None


def bars(
    comparison: Comparison,
    rows: Sequence[Row],
    width: int,
    accents: Mapping[str, str],
    beside: Sequence[Row] | None = None,
) -> list[Content]:
    """Return each row's speed against the yardstick as a bar as long as its median, its interval over the bar's end.

    Args:
        comparison: What the rows are of.
        rows: Those to draw.
        width: Characters across.
        accents: Each method's style.
        beside: All rows that their names are to tell them from; None for those that are drawn.
    """
    ratios = {
        key(row): row.against_yardstick.ratio for row in rows if row.against_yardstick is not None and row.n_trials
    }
    names = _short_names(comparison, rows, width, RowNames(comparison, rows if beside is None else beside))
    label = max(map(len, names.values()), default=0)
    largest = max((ratio.high or ratio.value for ratio in ratios.values()), default=1.0)
    largest = max(largest, 1.0)
    room = max(1, width - label - 9)
    lines = []
    for row in rows:
        ratio = ratios.get(key(row))
        parts: list[Cell] = [(names[key(row)].ljust(label), accents[row.method]), " "]
        if ratio is not None:
            drawn = _bar(ratio.value, ratio.low, ratio.high, largest, room)
            parts += [(f"{fmt.times(ratio.value):>7} ", ""), (drawn, accents[row.method])]
        elif row.method == comparison.yardstick and row.n_trials:
            parts += [(f"{'1×':>7} ", "$muted"), (_bar(1.0, None, None, largest, room), "$line")]
        else:
            parts.append((f"{fmt.MISSING:>7}", "$muted"))
        lines.append(Content.assemble(*parts))
    return lines


def _short_names(comparison: Comparison, rows: Sequence[Row], width: int, names: RowNames) -> dict[str, str]:
    """Return names for a half of the width, or a third; for more where they were not told apart otherwise."""
    least = max(4, width // (3 if len(comparison.runs) == 1 else 2))
    for room in range(least, max(least, 2 * width // 3) + 1):
        found = names.within(room, rows)
        if len(set(found.values())) == len(rows):
            break
    return found


def _bar(value: float, low: float | None, high: float | None, largest: float, room: int) -> str:
    """Return `████├██──┤`: whole up to the median, over it the interval as far as it goes."""

    def cell(at: float) -> int:
        return min(room, max(0, round(at / largest * room)))

    median = max(1, cell(value))
    start, end = (median, median) if low is None or high is None else (cell(low), max(cell(high), median))
    if end - start < 2:  # noqa: PLR2004 - the interval's two ends
        return "█" * median
    drawn = list("█" * median + "─" * (end - median))
    drawn[start], drawn[end - 1] = "├", "┤"
    return "".join(drawn)
