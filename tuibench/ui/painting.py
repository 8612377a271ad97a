"""Writes only the cells that changed: what a repaint costs on a slow connection is what is new in it.

Textual repaints each dirty region whole, from the left edge of its widget, at 30 to 50 bytes of colour a word. Here
each partial update is compared with what the terminal shows. Full updates (another screen, another size) are written
whole, so that a terminal whose content was lost is whole again after one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor, CompositorUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

# Textual has no public place for this; its version is pinned, and a test paints through a whole application.

Cell = tuple[str, str, str]
"""What one cell shows: its text (empty in the right half of a wide character), and what is written before and after."""

_GAP = 6
"""Unchanged cells that are cheaper to write again than to jump over."""


class Painted:
    """What a terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell | None]] = {}
        """None is a cell of which nothing is known."""

    def update(self, renderable: RenderableType | None) -> RenderableType | CompositorUpdate | None:
        """Return what is painted in the place of an update; anything unknown passes, and is not relied on."""
        match renderable:
            case ChopsUpdate():
                return _Changes(self, renderable)
            case LayoutUpdate():
                return _Whole(self, renderable)
            case None:
                return None
            case _:
                self._lines.clear()
                return renderable

    def forget(self) -> None:
        """Rely on nothing."""
        self._lines.clear()

    def write(self, x: int, y: int, strip: Strip, console: Console) -> str:
        """Return what turns the cells from (x, y) on into the strip, and take it as done."""
        cells = _cells(strip, console)
        line = self._lines.setdefault(y, [])
        if len(line) < x + strip.cell_length:
            line.extend([None] * (x + strip.cell_length - len(line)))
        if cells is None:
            line[x : x + strip.cell_length] = [None] * strip.cell_length
            return _move(x, y) + strip.render(console)
        before = line[x : x + len(cells)]
        if before == cells:
            return ""
        line[x : x + len(cells)] = cells
        return "".join(_move(x + start, y) + _text(cells[start:end]) for start, end in _changed(before, cells))


class SparingCompositor(Compositor):
    """Renders only the widgets that are seen in what a partial update touches.

    Textual renders every widget within the rectangle around all that changed, and each of them whole: with the clock at
    the top and a text at the bottom that is the whole screen, time after time, boxes behind boxes included.
    """

    def render_partial_update(self) -> ChopsUpdate | None:
        """Return what changed since the last update; None if nothing did."""
        everything = self.visible_widgets
        _ = self.cuts  # where widgets begin and end is kept of all of them
        seen = self._seen(everything)
        self._visible_widgets = {
            widget: (region, seen[widget]) for widget, (region, _clip) in everything.items() if widget in seen
        }
        try:
            return super().render_partial_update()
        finally:
            self._visible_widgets = everything

    def _seen(self, everything: dict[Widget, tuple[Region, Region]]) -> dict[Widget, Region]:
        """Return the widgets that show in what changed, from front to back, up to the one that fills it.

        With each goes what must be rendered of it: whole lines, as it keeps them, from the first to the last one.
        """
        seen: dict[Widget, Region] = {}
        for changed in self._dirty_regions:
            for widget, (region, clip) in everything.items():
                shown = region.intersection(clip)
                if shown.overlaps(changed):
                    lines = shown.intersection(Region(shown.x, changed.y, shown.width, changed.height))
                    seen[widget] = seen[widget].union(lines) if widget in seen else lines
                    if shown.contains_region(changed):
                        break
        return seen


class _Changes(CompositorUpdate):
    """A partial update, of which only what changed is written."""

    def __init__(self, painted: Painted, update: ChopsUpdate) -> None:
        self._painted = painted
        self._update = update

    def render_segments(self, console: Console) -> str:
        """Return what is written."""
        update, parts = self._update, []
        for y, x1, x2 in update.spans:
            for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                left, right = max(x, x1), min(end, x2)
                whole = left == x and right == end
                parts.append(self._painted.write(left, y, strip if whole else strip.crop(left - x, right - x), console))
        return "".join(parts)


class _Whole(CompositorUpdate):
    """A full update: written whole, and remembered."""

    def __init__(self, painted: Painted, update: LayoutUpdate) -> None:
        self._painted = painted
        self._update = update

    def render_segments(self, console: Console) -> str:
        """Return what is written."""
        self._painted.forget()
        region = self._update.region
        for y, strips in enumerate(self._update.strips, region.y):
            x = region.x
            for strip in strips:
                self._painted.write(x, y, strip, console)
                x += strip.cell_length
        return self._update.render_segments(console)


def _changed(before: list[Cell | None], after: list[Cell]) -> Iterable[tuple[int, int]]:
    """Yield the stretches that differ; those that lie close together are one."""
    start = end = -1
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        if old == new:
            continue
        if start >= 0 and at - end > _GAP:
            yield start, end
            start = -1
        if start < 0:
            start = at
        end = at + 1
    if start >= 0:
        yield start, end


def _text(cells: list[Cell]) -> str:
    parts: list[str] = []
    opened = closed = ""
    for text, before, after in cells:
        if before != opened:
            parts += (closed, before)
            opened, closed = before, after
        parts.append(text)
    parts.append(closed)
    return "".join(parts)


def _cells(strip: Strip, console: Console) -> list[Cell] | None:
    """Return a strip cell by cell; None where its characters cannot be told apart (joined ones, controls)."""
    system = console._color_system or ColorSystem.TRUECOLOR  # noqa: SLF001 - as `Strip.render` chooses it
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            return None
        before, after = _codes(style, system) if style else ("", "")
        if text.isascii():
            cells += [(char, before, after) for char in text]
            continue
        for char in text:
            match get_character_cell_size(char):
                case 1:
                    cells.append((char, before, after))
                case 2:
                    cells += ((char, before, after), ("", before, after))
                case _:
                    return None
    return cells if len(cells) == strip.cell_length else None


@lru_cache(4096)
def _codes(style: Style, system: ColorSystem) -> tuple[str, str]:
    before, _, after = style.render("\0", color_system=system).partition("\0")
    return before, after


def _move(x: int, y: int) -> str:
    return f"\x1b[{y + 1};{x + 1}H"
