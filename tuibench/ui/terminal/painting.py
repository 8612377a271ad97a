"""Writes only the cells that changed: what a repaint costs on a slow connection is what is new in it.

Textual repaints each dirty region whole, from the left edge of its widget, at 30 to 50 bytes of colour a word, and the
whole screen when the focus moves. Here each update is compared with what the terminal shows, and of the colours only
what changes from one cell to the next is written. What comes after another screen, another size or a stop is written
whole, so that a terminal whose content was lost is whole again after one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from rich.cells import get_character_cell_size
from rich.color import Color, ColorSystem
from rich.console import Console, RenderableType
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor, CompositorUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

# Textual has no public place for this; its version is pinned, and a test paints through a whole application.

_GAP = 6
"""Unchanged cells that are cheaper to write again than to jump over."""


class Look(NamedTuple):
    """How a cell is written, as the parameters of SGR sequences; empty is the terminal's own."""

    attributes: str
    foreground: str
    background: str


_PLAIN = Look("", "", "")

Cell = tuple[str, Look]
"""What one cell shows: its text (empty in the right half of a wide character), and how."""


class Painted:
    """What a terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell | None]] = {}
        """None is a cell of which nothing is known."""

    def update(self, renderable: RenderableType | None) -> RenderableType | CompositorUpdate | None:
        """Return what is painted in the place of an update; anything unknown passes, and is not relied on."""
        match renderable:
            case ChopsUpdate() | LayoutUpdate():
                return _Changes(self, renderable)
            case None:
                return None
            case _:
                self.forget()
                return renderable

    def forget(self) -> None:
        """Rely on nothing."""
        self._lines.clear()

    def write(self, pen: _Pen, x: int, y: int, strip: Strip, console: Console) -> None:
        """Write what turns the cells from (x, y) on into the strip, and take it as done."""
        cells = _cells(strip, console)
        line = self._lines.setdefault(y, [])
        if len(line) < x + strip.cell_length:
            line.extend([None] * (x + strip.cell_length - len(line)))
        if cells is None:
            line[x : x + strip.cell_length] = [None] * strip.cell_length
            pen.write_as_it_is(x, y, strip.render(console))
            return
        before = line[x : x + len(cells)]
        line[x : x + len(cells)] = cells
        for start, end in _changed(before, cells):
            pen.write(x + start, y, cells[start:end])


class PartialCompositor(Compositor):
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
    """An update, of which only what changed is written."""

    def __init__(self, painted: Painted, update: ChopsUpdate | LayoutUpdate) -> None:
        self._painted = painted
        self._update = update

    def render_segments(self, console: Console) -> str:
        """Return what is written."""
        pen = _Pen()
        placed = _some(self._update) if isinstance(self._update, ChopsUpdate) else _all(self._update)
        for x, y, strip in placed:
            self._painted.write(pen, x, y, strip, console)
        return pen.lift()


def _some(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, x1, x2 in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x >= x2 or end <= x1:
                continue
            left, right = max(x, x1), min(end, x2)
            whole = left == x and right == end
            yield left, y, strip if whole else strip.crop(left - x, right - x)


def _all(update: LayoutUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, strips in enumerate(update.strips, update.region.y):
        x = update.region.x
        for strip in strips:
            yield x, y, strip
            x += strip.cell_length


class _Pen:
    """Writes cells, and tells the terminal only what is new: a place it is not at yet, a colour that is another."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._at: tuple[int, int] | None = None
        self._look = _PLAIN

    def write(self, x: int, y: int, cells: list[Cell]) -> None:
        """Write at a place."""
        parts = self._parts
        if self._at != (x, y):
            parts.append(f"\x1b[{y + 1};{x + 1}H")
        look = self._look
        for text, wanted in cells:
            if wanted is not look and wanted != look:
                parts.append(_turn(look, wanted))
                look = wanted
            parts.append(text)
        self._look = look
        # Terminals disagree about what is two cells wide.
        self._at = (x + len(cells), y) if all(text for text, _ in cells) else None

    def write_as_it_is(self, x: int, y: int, text: str) -> None:
        """Write what has its own colours."""
        self._parts += (_turn(self._look, _PLAIN), f"\x1b[{y + 1};{x + 1}H", text)
        self._look, self._at = _PLAIN, None

    def lift(self) -> str:
        """Return all that was written, with the terminal's own colours after it."""
        self._parts.append(_turn(self._look, _PLAIN))
        return "".join(self._parts)


@lru_cache(4096)
def _turn(look: Look, wanted: Look) -> str:
    """Return what is written between a cell and the next one."""
    if look == wanted:
        return ""
    if wanted == _PLAIN:
        return "\x1b[0m"
    codes = []
    if look.attributes != wanted.attributes:
        if look.attributes:
            codes.append("0")
            look = _PLAIN
        codes.append(wanted.attributes)
    if look.foreground != wanted.foreground:
        codes.append(wanted.foreground or "39")
    if look.background != wanted.background:
        codes.append(wanted.background or "49")
    return f"\x1b[{';'.join(code for code in codes if code)}m"


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


def _cells(strip: Strip, console: Console) -> list[Cell] | None:
    """Return a strip cell by cell; None where its characters cannot be told apart (joined ones, controls, links)."""
    system = console._color_system or ColorSystem.TRUECOLOR  # noqa: SLF001 - as `Strip.render` chooses it
    cells: list[Cell] = []
    for text, style, control in strip:
        if control or (style and style.link):
            return None
        look = _look(style, system) if style else _PLAIN
        if text.isascii():
            cells += [(char, look) for char in text]
            continue
        for char in text:
            match get_character_cell_size(char):
                case 1:
                    cells.append((char, look))
                case 2:
                    cells += ((char, look), ("", look))
                case _:
                    return None
    return cells if len(cells) == strip.cell_length else None


@lru_cache(4096)
def _look(style: Style, system: ColorSystem) -> Look:
    attributes, _, _ = style.without_color.render("\0").partition("\0")
    return Look(
        attributes.removeprefix("\x1b[").removesuffix("m"),
        _codes(style.color, system, foreground=True),
        _codes(style.bgcolor, system, foreground=False),
    )


def _codes(color: Color | None, system: ColorSystem, *, foreground: bool) -> str:
    return ";".join(color.downgrade(system).get_ansi_codes(foreground)) if color else ""
