"""Speed against divergence, and the line that no method is beyond: what the choice is about, in one picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from textual.content import Content
from textual.widget import Widget

from tuibench.core import format as fmt
from tuibench.ui.look.braille import DOTS_X, DOTS_Y, Canvas, log_scale

_LABEL = 10
"""Cells left of the axis: "100 tok/s" and a space."""
_LEAST_HEIGHT = 4
_EXACT = 1e-4
"""Divergences below it are rounding: they stand at the left end."""


@dataclass(frozen=True, slots=True)
class Point:
    """One method."""

    name: str
    style: str
    tps: float
    kld: float
    on_front: bool
    pointed: bool
    shorter: tuple[str, ...] = ()
    """Its name in ever fewer cells, for where the whole has no room."""

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called, the best first."""
        return self.name, *self.shorter


class Scatter(Widget):
    """Tokens per second (logarithmic) over the mean KL divergence (logarithmic, what is exact at the left end)."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id, classes="box")
        self._points: tuple[Point, ...] = ()
        self.border_title = "Speed over KLD · ◆ best for its quality"

    def show(self, points: Iterable[Point]) -> None:
        """Show these methods."""
        self._points = tuple(points)
        self.refresh()

    def render(self) -> Content:
        """Draw the front, the methods and the axes."""
        width, height = self.size
        n_rows, room = height - 1, width - _LABEL - 1
        if n_rows < _LEAST_HEIGHT or room < _LABEL:
            return Content()
        if not self._points:
            return Content.styled("no method was both measured and scored: run with quality on", "$muted")
        speeds = [point.tps for point in self._points]
        scale = log_scale(min(speeds), max(speeds))
        far = max(10 * _EXACT, *(point.kld for point in self._points)) * 1.2
        grid = _Grid(room, n_rows)
        places = {}
        for point in self._points:
            share = 0.0 if point.kld <= _EXACT else math.log(point.kld / _EXACT) / math.log(far / _EXACT)
            x = round((0.02 + 0.73 * share) * (room - 1))
            places[point] = (x, round((1 - scale.share(point.tps)) * (n_rows - 1)))
        grid.join([places[point] for point in sorted(self._points, key=_by_divergence) if point.on_front])
        in_front_last = sorted(self._points, key=lambda point: (point.pointed, point.on_front))
        for point in in_front_last:
            grid.mark(*places[point], "◆" if point.on_front else "●", point.style)
        sharing: dict[tuple[int, int], list[Point]] = {}
        for point in reversed(in_front_last):
            sharing.setdefault(places[point], []).append(point)
        for (x, y), points in sharing.items():
            front = points[0]
            grid.name(x, y, _names(points), f"{front.style} {'reverse' if front.pointed else ''}".strip())
        ticks = {round((1 - scale.share(tick)) * (n_rows - 1)): tick for tick in scale.ticks()}
        rows = [self._row(line, ticks.get(y)) for y, line in enumerate(grid.rows())]
        return Content("\n").join([*rows, self._foot(room, far)])

    @staticmethod
    def _row(line: Content, tick: float | None) -> Content:
        label = "" if tick is None else f"{tick:g} tok/s"
        return Content.styled(f"{label:>{_LABEL - 1}} {'┤' if label else '│'}", "$muted").append(line)

    @staticmethod
    def _foot(room: int, far: float) -> Content:
        left, right = " same", f" KLD {fmt.divergence(far)} "
        rule = "─" * max(0, room - len(left) - len(right))
        return Content.styled(f"{'':>{_LABEL - 1}} └{left} {rule}{right}"[: room + _LABEL + 1], "$muted")


def _names(points: Sequence[Point]) -> Iterator[str]:
    """Yield what to call points in one place, in ever fewer cells: all of them, at last the first and their number."""
    points = [point for point in points if point.names]
    for at in range(max((len(point.names) for point in points), default=0)):
        yield ", ".join(point.names[min(at, len(point.names) - 1)] for point in points)
    if len(points) > 1:
        yield f"{points[0].names[-1]} +{len(points) - 1}"


def _by_divergence(point: Point) -> tuple[float, float]:
    return point.kld, point.tps


class _Grid:
    """Cells of text over a line of dots."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._canvas = Canvas(width, height)
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}
        self._marks: set[tuple[int, int]] = set()

    def join(self, places: Sequence[tuple[int, int]]) -> None:
        """Draw straight lines from place to place."""
        for (x1, y1), (x2, y2) in pairwise(places):
            n_steps = max(abs(x2 - x1) * DOTS_X, abs(y2 - y1) * DOTS_Y, 1)
            for step in range(n_steps + 1):
                x = (x1 + (x2 - x1) * step / n_steps) * DOTS_X
                y = (y1 + (y2 - y1) * step / n_steps) * DOTS_Y + 1
                self._canvas.dot(round(x), round(y), 0)

    def mark(self, x: int, y: int, char: str, style: str) -> None:
        """Draw a point."""
        self._marks.add((x, y))
        self.put(x, y, char, style)

    def put(self, x: int, y: int, text: str, style: str) -> None:
        """Write text."""
        for offset, char in enumerate(text):
            self._cells[x + offset, y] = (char, style)

    def name(self, x: int, y: int, names: Iterable[str], style: str) -> None:
        """Write the first of some names that fits beside its point, above or below it, nearer to it than to any other.

        A point that none fits at is told by its colour, in the table as well.
        """
        for text in names:
            right, left = x + 2, x - 1 - len(text)
            above_and_below = ((at, row) for row in (y - 1, y + 1) for at in (right - 1, left + 1))
            for start, row in ((right, y), (left, y), *above_and_below):
                if self._is_free(start, row, len(text), (x, y)):
                    self.put(start, row, text, style)
                    return

    def _is_free(self, start: int, row: int, width: int, own: tuple[int, int]) -> bool:
        """Return whether there is room that nothing is written in, and no other point is as near to it as its own."""
        if start < 0 or start + width > self._width or not 0 <= row < self._height:
            return False
        if any((at, row) in self._cells for at in range(start - 1, start + width + 1)):
            return False

        def distance(point: tuple[int, int]) -> tuple[int, int]:
            x, y = point
            return abs(y - row), max(start - x, x - (start + width - 1), 0)

        return all(distance(own) < distance(other) for other in self._marks - {own})

    def rows(self) -> Iterable[Content]:
        """Return the lines."""
        for y, dots in enumerate(self._canvas.rows()):
            line = "".join(text for text, _ in dots)
            parts = [self._cells.get((x, y), (char, "$muted")) for x, char in enumerate(line)]
            yield Content.assemble(*parts)
