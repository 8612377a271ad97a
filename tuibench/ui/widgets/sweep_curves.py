"""A figure along one axis of a sweep: a line a method, its intervals as uprights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from textual.content import Content
from textual.widget import Widget

from tuibench.core import format as fmt
from tuibench.core.results.metrics import Metric
from tuibench.core.results.sweep import is_wide
from tuibench.core.statistics.stats import Estimate
from tuibench.ui.look.braille import DOTS_X, DOTS_Y, Canvas, LogScale, log_scale, named_rows

_LABEL = 12
"""Cells left of the axis: "50.0 tok/s", a space and the axis."""
_LEAST_HEIGHT = 3
_LONGEST_NAME = 19


@dataclass(frozen=True, slots=True)
class SweptCurve:
    """One method's figures along an axis."""

    name: str
    style: str
    points: tuple[tuple[int, Estimate], ...]


class SweepCurves(Widget):
    """A metric (logarithmic) over the swept values."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id, classes="box")
        self._curves: tuple[SweptCurve, ...] = ()
        self._metric: Metric | None = None
        self._axis = ""

    def show(self, curves: Iterable[SweptCurve], metric: Metric, axis: str) -> None:
        """Show these methods; `axis` says what the values are."""
        self._curves = tuple(curve for curve in curves if curve.points)
        self._metric, self._axis = metric, axis
        self.refresh()

    def render(self) -> Content:
        """Draw axis, curves and names."""
        width, height = self.size
        names = min(_LONGEST_NAME, max((len(curve.name) for curve in self._curves), default=0)) + 1
        n_rows, room = height - 1, width - _LABEL - names
        if n_rows < _LEAST_HEIGHT or room < _LABEL or self._metric is None:
            return Content()
        if not self._curves:
            return Content.styled("nothing was measured here", "$muted")
        ends = [end for curve in self._curves for _, found in curve.points for end in found.ends]
        scale = log_scale(max(min(ends), 1e-9), max(ends))
        values = sorted({value for curve in self._curves for value, _ in curve.points})
        canvas = Canvas(room, n_rows)
        last_rows = {number: self._draw(canvas, number, scale, values) for number in range(len(self._curves))}
        ticks = {round((1 - scale.share(tick)) * (n_rows - 1)): tick for tick in scale.ticks()}
        named = named_rows(last_rows, n_rows)
        rows = [self._row(cells, ticks.get(y), named.get(y)) for y, cells in enumerate(canvas.rows())]
        return Content("\n").join([*rows, self._foot(room, values)])

    def _draw(self, canvas: Canvas, number: int, scale: LogScale, values: Sequence[int]) -> int:
        """Draw one curve and return the row in which it ends."""
        across, down = canvas.width * DOTS_X - 1, canvas.height * DOTS_Y - 1

        def height(value: float) -> int:
            return down - round(scale.share(value) * down)

        places = [(round(_share(value, values) * across), found) for value, found in self._curves[number].points]
        for x, found in places:
            low, high = found.ends
            for y in range(height(high), height(low) + 1, 2):  # dotted: a line of its own would hide the others
                canvas.dot(x, y, number)
        for (x1, one), (x2, other) in pairwise(places):
            y1, y2 = height(one.median), height(other.median)
            n_steps = max(abs(x2 - x1), abs(y2 - y1), 1)
            for step in range(n_steps + 1):
                canvas.dot(round(x1 + (x2 - x1) * step / n_steps), round(y1 + (y2 - y1) * step / n_steps), number)
        return height(places[-1][1].median) // DOTS_Y

    def _row(self, cells: Sequence[tuple[str, int]], tick: float | None, named: int | None) -> Content:
        label = "" if tick is None or self._metric is None else fmt.metric(self._metric, tick)
        parts: list[tuple[str, str]] = [(f"{label:>{_LABEL - 2}} {'┤' if label else '│'}", "$muted")]
        parts += [(text, self._curves[owner].style if owner >= 0 else "") for text, owner in cells]
        if named is not None:
            curve = self._curves[named]
            parts.append((f" {curve.name[:_LONGEST_NAME]}", curve.style))
        return Content.assemble(*parts)

    def _foot(self, room: int, values: Sequence[int]) -> Content:
        left, right = f" {values[0]}", f" {values[-1]} {self._axis}"
        rule = "─" * max(0, room - len(left) - len(right))
        return Content.styled(f"{'':>{_LABEL - 2}} └{left} {rule}{right}"[: room + _LABEL + 1], "$muted")


def _share(value: int, values: Sequence[int]) -> float:
    """Return how far along its axis a value stands, 0 to 1."""
    low, high = values[0], values[-1]
    if low == high:
        return 0.0
    if is_wide(low, high):
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)
