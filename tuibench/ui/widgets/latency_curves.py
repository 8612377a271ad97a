"""The time of each token by its position, all methods over each other: who is slow, who gets slower, who stutters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.ui.look.braille import DOTS_X, Canvas, Columns, LogScale, log_scale, named_rows
from tuibench.ui.text.describe import Stream
from tuibench.ui.widgets.plain_lines import PartRows, Row

_LABEL = 7
"""Cells left of the axis: "500 ms" and a space."""
_LEAST_HEIGHT = 3
_NAMES_FROM = 44
"""Width from which on the curves are named at their ends."""
LONGEST_NAME = 19
"""Cells for a name at the end of its curve."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One method's latest stream, in its colour."""

    name: str
    style: str
    stream: Stream
    letter: str = ""
    """Written onto the line where another one has the same colour."""
    short: str = ""
    """What to call it at its end; empty for its name, which alone tells it from all others."""

    @property
    def label(self) -> str:
        """What stands at the line's end."""
        name = self.short or self.name
        return f"{self.letter} {name}" if self.letter else name


@dataclass(slots=True)
class _Drawn:
    """What is known of a curve that grows."""

    stream: Stream
    columns: Columns


class LatencyCurves(PartRows):
    """Milliseconds (logarithmic) against token position; the curve in front is the method that is looked at.

    The scale only grows as long as the same methods are shown: an axis that jitters cannot be read.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id)
        self._curves: tuple[Curve, ...] = ()
        self._drawn: dict[str, _Drawn] = {}
        self._n_expected = 0
        self._drawn_room = 0
        self._range: tuple[float, float] | None = None
        self.border_title = "Latency by token position"

    def show(self, curves: Iterable[Curve]) -> None:
        """Show these curves, the last one in front."""
        before, self._curves = self._curves, tuple(curves)
        n_expected = max((curve.stream.n_expected for curve in self._curves), default=0)
        same = {curve.name for curve in before} <= {curve.name for curve in self._curves}
        if n_expected != self._n_expected or not same:
            self._n_expected = n_expected
            self._start_over()
        if self._grow() or [curve.name for curve in before] != [curve.name for curve in self._curves]:
            self.redraw()

    def on_resize(self) -> None:
        """Sort the values into the columns of the new width."""
        self._start_over()
        self._grow()

    def _start_over(self) -> None:
        self._drawn.clear()
        self._drawn_room = self._room
        self._range = None

    @property
    def _room(self) -> int:
        """Cells across that the curves have."""
        return max(1, self.size.width - _LABEL - 1 - self._name_width)

    @property
    def _name_width(self) -> int:
        if self.size.width < _NAMES_FROM:
            return 0
        return min(LONGEST_NAME, max((len(curve.label) for curve in self._curves), default=0)) + 1

    def _grow(self) -> bool:
        """Take over what is new; return whether there was anything."""
        changed = False
        if self._drawn_room != self._room:
            self._start_over()
        for curve in self._curves:
            stream, known = curve.stream, self._drawn.get(curve.name)
            if known is None or known.stream.key != stream.key or known.columns.n_seen > max(0, stream.n - 1):
                known = _Drawn(stream, Columns(self._n_expected - 1, self._room * DOTS_X))
                self._drawn[curve.name] = known
                changed = True
            new = stream.step_ns(known.columns.n_seen)
            known.stream = stream
            if new:
                known.columns.extend(new)
                self._widen(min(new), max(new))
                changed = True
        return changed

    def _widen(self, low: float, high: float) -> None:
        low = max(low, 1e3)
        before = self._range or (low, high)
        self._range = (min(low, before[0]), max(high, before[1]))

    # Drawing --------------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Return axis, curves and names."""
        width, height = self.size
        if height < _LEAST_HEIGHT or width < 2 * _LABEL:
            return []
        n_rows = height - 1
        if self._drawn_room != self._room:
            self._start_over()
            self._grow()
        if self._range is None:
            return [*self._empty_rows(n_rows), self._foot()]
        scale = log_scale(*self._range)
        canvas = Canvas(self._room, n_rows)
        ends: dict[int, int] = {}
        for owner, curve in enumerate(self._curves):
            end = canvas.line(self._drawn[curve.name].columns.columns, scale.share, owner)
            if end is not None:
                ends[owner] = end
        for owner, curve in enumerate(self._curves):
            if curve.letter:
                canvas.letters(self._drawn[curve.name].columns.columns, scale.share, owner, curve.letter)
        labels = _labels(scale, n_rows)
        front_first = dict(sorted(ends.items(), reverse=True))
        names = named_rows(front_first, n_rows) if self._name_width else {}
        rows = [self._row(cells, labels.get(y, ""), names.get(y)) for y, cells in enumerate(canvas.rows())]
        return [*rows, self._foot()]

    def _row(self, cells: Sequence[tuple[str, int]], label: str, named: int | None) -> Row:
        parts: list[tuple[str, str]] = [(f"{label:>{_LABEL - 1}} {'┤' if label else '│'}", "$muted")]
        parts += [(text, self._curves[owner].style if owner >= 0 else "") for text, owner in cells]
        if named is not None:
            curve = self._curves[named]
            parts += [(" ", ""), (curve.label[:LONGEST_NAME], curve.style)]
        return tuple(parts)

    def _empty_rows(self, n_rows: int) -> list[Row]:
        bar, hint = f"{'':>{_LABEL - 1}} │", "  drawn as tokens arrive"
        middle = n_rows // 2
        return [((bar + hint if y == middle else bar, "$muted"),) for y in range(n_rows)]

    def _foot(self) -> Row:
        end = f" token {self._n_expected}" if self._n_expected else " token"
        rule = "─" * max(0, self._room - len(end))
        return ((f"{'0':>{_LABEL - 1}} └{rule}{end}", "$muted"),)


def _labels(scale: LogScale, n_rows: int) -> dict[int, str]:
    """Return the ticks by row, the outer ones first, none beside another."""
    ticks = scale.ticks()
    labels: dict[int, str] = {}
    for tick in (ticks[0], ticks[-1], *ticks[1:-1]):
        y = round((1 - scale.share(tick)) * (n_rows - 1))
        if not {y - 1, y, y + 1} & labels.keys():
            labels[y] = _tick(tick)
    return labels


def _tick(ns: float) -> str:
    number, _, unit = fmt.duration(ns).partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}"
