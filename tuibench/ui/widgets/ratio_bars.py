"""Every row's speed against the baseline's, as bars that end in their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content
from textual.widget import Widget

from tuibench.core.results.comparison import Comparison, Row
from tuibench.ui.text.compare_rows import bars


class RatioBars(Widget):
    """One line for each row of the table, in its order; those that do not fit are counted in the last line."""

    def __init__(self) -> None:
        super().__init__(classes="box")
        self._comparison: Comparison | None = None
        self._rows: tuple[Row, ...] = ()
        self._accents: Mapping[str, str] = {}

    def show(self, comparison: Comparison, rows: Sequence[Row], accents: Mapping[str, str]) -> None:
        """Show these rows."""
        self._comparison, self._rows, self._accents = comparison, tuple(rows), accents
        self.border_title = f"Decode speed × {comparison.baseline or 'baseline'}"
        self.refresh()

    def render(self) -> Content:
        """Draw a line for each row."""
        width, height = self.size
        if self._comparison is None or not height:
            return Content()
        lines = bars(self._comparison, self._rows, width, self._accents)
        if len(lines) > height:
            more = len(lines) - height + 1
            lines = [*lines[: height - 1], Content.styled(f"… and {more} more", "$muted")]
        return Content("\n").join(lines)
