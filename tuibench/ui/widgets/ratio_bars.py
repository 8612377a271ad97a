"""Every row's speed against the yardstick's, as bars that end in their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content
from textual.widget import Widget

from tuibench.core.results.comparison import Comparison
from tuibench.core.results.row import Row
from tuibench.ui.text.ratio_rows import bars, ratio_of
from tuibench.ui.text.row_names import key


class RatioBars(Widget):
    """One line for each row of the table, in its order; where not all fit, the shortest bars are only counted."""

    def __init__(self) -> None:
        super().__init__(classes="box")
        self._comparison: Comparison | None = None
        self._rows: tuple[Row, ...] = ()
        self._accents: Mapping[str, str] = {}

    def show(self, comparison: Comparison, rows: Sequence[Row], accents: Mapping[str, str]) -> None:
        """Show these rows."""
        self._comparison, self._rows, self._accents = comparison, tuple(rows), accents
        self.border_title = f"Decode speed × {comparison.yardstick or 'yardstick'}"
        self.refresh()

    def render(self) -> Content:
        """Draw a line for each row."""
        width, height = self.size
        comparison = self._comparison
        if comparison is None or not height:
            return Content()
        rows = self._rows
        if len(rows) > height:
            measured = [row for row in rows if row.n_trials]
            longest = sorted(measured, key=lambda row: ratio_of(comparison, row) or 0.0, reverse=True)
            shown = set(map(key, longest[: height - 1]))
            rows = tuple(row for row in rows if key(row) in shown)
        lines = bars(comparison, rows, width, self._accents, self._rows)
        if more := len(self._rows) - len(rows):
            lines.append(Content.styled(f"… and {more} more", "$muted"))
        return Content("\n").join(lines)
