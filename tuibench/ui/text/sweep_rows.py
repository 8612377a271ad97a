"""A sweep's map as styled text: shapes down, methods across, the best of each shape in its method's colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from textual.content import Content

from tuibench.core import format as fmt
from tuibench.core.present.sweep_lines import MEANINGS, TITLES, UNSURE, WON, MapCell, SweepMap, impossible_lines

_GAP = 2


def map_content(maps: Sequence[SweepMap], accents: Mapping[str, str], width: int) -> Content:
    """Return maps, each in as many blocks as its methods need side by side; all but the first under their titles.

    Args:
        maps: Of the same methods and shapes, at least one.
        accents: Each method's style.
        width: Characters across.
    """
    lines = list(_one(maps[0], accents, width))
    for found in maps[1:]:
        lines += [Content(), Content.styled(map_title(found), "$muted"), *_one(found, accents, width)]
    lines += [Content(), Content.styled(_legend(maps), "$muted")]
    lines += [Content.styled(line, "$muted") for line in impossible_lines(maps)]
    return Content("\n").join(lines)


def map_title(found: SweepMap) -> str:
    """Return what is shown and its unit, and what is true of all shapes that are."""
    figure = ", ".join(filter(None, (f"Best {TITLES[found.metric.id]}", unit_of(found))))
    return " · ".join(filter(None, (figure, found.shared)))


def _one(found: SweepMap, accents: Mapping[str, str], width: int) -> Iterator[Content]:
    found = _without_unit(found, unit_of(found))
    if len(list(_blocks(found, width))) > 1:
        found = _best_first(found)
    for columns in _blocks(found, width):
        if columns.start:
            yield Content()
        yield from _block(found, columns, accents)


def unit_of(found: SweepMap) -> str:
    """Return the unit that all figures of a map have; empty where they have several, or none."""
    units = {cell.text.partition(" ")[2] for _, cells in found.rows for cell in cells if cell.text != fmt.MISSING}
    return units.pop() if len(units) == 1 else ""


def _without_unit(found: SweepMap, unit: str) -> SweepMap:
    rows = (
        (label, tuple(replace(cell, text=cell.text.removesuffix(f" {unit}")) for cell in cells))
        for label, cells in found.rows
    )
    return replace(found, rows=tuple(rows))


def _best_first(found: SweepMap) -> SweepMap:
    """Return a map whose first columns are of the methods that are best somewhere: the others may need a scroll."""
    best = [any(cells[at].best for _, cells in found.rows) for at in range(len(found.methods))]
    order = sorted(range(len(found.methods)), key=lambda at: not best[at])
    return replace(
        found,
        methods=tuple(found.methods[at] for at in order),
        rows=tuple((label, tuple(cells[at] for at in order)) for label, cells in found.rows),
    )


def _legend(maps: Sequence[SweepMap]) -> str:
    """Return what the marks mean that occur."""
    marks = {_mark(cell) for found in maps for _, cells in found.rows for cell in cells}
    return "   ".join(f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if mark in marks)


def _blocks(found: SweepMap, width: int) -> Iterator[range]:
    widths = [_width(found, at) for at in range(len(found.methods))]
    start, labels = 0, _label_width(found)
    while start < len(widths):
        end, used = start, labels
        while end < len(widths) and (end == start or used + _GAP + widths[end] <= width):
            used += _GAP + widths[end]
            end += 1
        yield range(start, end)
        start = end


def _block(found: SweepMap, columns: range, accents: Mapping[str, str]) -> Iterator[Content]:
    labels = _label_width(found)
    names = [
        (f"{'':{_GAP}}{found.methods[at]:>{_width(found, at)}}", accents.get(found.methods[at], "")) for at in columns
    ]
    yield Content.assemble((" " * labels, ""), *names)
    for label, cells in found.rows:
        parts = [
            (
                f"{'':{_GAP}}{_text(cells[at]):>{_width(found, at)}}",
                _style(cells[at], accents.get(found.methods[at], "")),
            )
            for at in columns
        ]
        yield Content.assemble((f"{label:{labels}}", ""), *parts)


def _label_width(found: SweepMap) -> int:
    return max(len(label) for label, _ in found.rows)


def _width(found: SweepMap, at: int) -> int:
    return max(len(found.methods[at]), *(len(_text(cells[at])) for _, cells in found.rows))


def _text(cell: MapCell) -> str:
    return f"{cell.text} {_mark(cell)}"


def _mark(cell: MapCell) -> str:
    return (WON if cell.sure else UNSURE) if cell.best else " "


def _style(cell: MapCell, accent: str) -> str:
    if cell.best:
        return f"bold {accent}" if cell.sure else accent
    return "$muted" if cell.text == fmt.MISSING else ""
