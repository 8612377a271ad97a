"""The time that each token took, by its position: one braille line, redrawn only when there are new tokens."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from tuibench.core.format import duration
from tuibench.ui.braille import DOTS_X, Columns, braille_rows, nice_top
from tuibench.ui.describe import Stream

_LABEL = 7
"""Cells left of the axis: "500 ms" and a space."""
_LEAST_HEIGHT = 3


class LatencyPlot(Widget):
    """Gaps between tokens against token position, with the scale in round numbers.

    The scale only grows within a trial: an axis that jitters cannot be read.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"latency-plot--axis"}

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._stream: Stream | None = None
        self._columns = Columns(1, 1)
        self._strips: list[Strip] = []

    def show(self, stream: Stream | None) -> None:
        """Show the gaps of a stream, or the next ones of the stream that is shown."""
        before, self._stream = self._stream, stream
        if stream is None or before is None or before.key != stream.key or stream.n - 1 < self._columns.n_seen:
            self._start_over()
        elif stream.n == before.n:
            return
        self._draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self._start_over()
        self._draw()

    def notify_style_update(self) -> None:
        """Draw with the colours of a new theme."""
        super().notify_style_update()
        self._draw()

    def _start_over(self) -> None:
        n_columns = max(1, (self.size.width - _LABEL - 1) * DOTS_X)
        n_expected = self._stream.n_expected - 1 if self._stream else 1
        self._columns = Columns(n_expected, n_columns)

    def _draw(self) -> None:
        width, height = self.size
        if height < _LEAST_HEIGHT or width < _LABEL + DOTS_X:
            self._strips = []
            self.refresh()
            return
        if self._stream is not None:
            self._columns.extend(self._stream.step_ns(self._columns.n_seen))
        largest = self._columns.largest
        top = nice_top(largest) if largest else None
        n_rows = height - 1
        if top is None:
            rows = [" " * (width - _LABEL - 1)] * n_rows
        else:
            rows = braille_rows(self._columns.columns, n_rows, top)
        self._strips = [self._row(y, n_rows, top, line) for y, line in enumerate(rows)]
        self._strips.append(self._foot(width))
        self.refresh()

    def _row(self, y: int, n_rows: int, top: float | None, line: str) -> Strip:
        # Only an odd number of rows has a row that is exactly half way up.
        middle = n_rows // 2 if n_rows % 2 else 0
        value = None if top is None else top if y == 0 else top * (n_rows - 1 - y) / (n_rows - 1)
        label = _tick(value) if value and y in (0, middle) and n_rows > _LEAST_HEIGHT else ""
        axis = self.get_component_rich_style("latency-plot--axis")
        tick = "┤" if label else "│"
        return Strip([Segment(f"{label:>{_LABEL - 1}} {tick}", axis), Segment(line, self.rich_style)])

    def _foot(self, width: int) -> Strip:
        axis = self.get_component_rich_style("latency-plot--axis")
        n_expected = self._stream.n_expected if self._stream else 0
        end = f" token {n_expected}" if n_expected else " ms per token"
        rule = "─" * max(0, width - _LABEL - 1 - len(end))
        return Strip([Segment(f"{'0':>{_LABEL - 1}} └{rule}{end}", axis)])

    def render_line(self, y: int) -> Strip:
        """Return a row prepared by the latest update."""
        style = self.rich_style
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, style)
        return strip.adjust_cell_length(self.size.width, style)


def _tick(ns: float) -> str:
    number, _, unit = duration(ns).partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}"
