"""Tables that fit: which columns there is room for, and one line of text for each row. Knows no widget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    id: str
    label: str
    width: int
    """The least that it can be shown in."""
    importance: int
    """Where there is too little room, the least important columns go first."""
    wide: int = 0
    """A width that shows more, an interval beside its value for example; 0 if there is none."""
    left: bool = False


Widths = dict[str, int]
"""Cells of each column that is shown, in the order of the table."""


def fit(columns: Sequence[Column], width: int, *, hidden: Iterable[str] = ()) -> Widths:
    """Return the columns that fit into a width, the more important ones in their wide form where there is room."""
    by_importance = sorted(columns, key=lambda column: -column.importance)
    left_out = set(hidden)
    room = width + _GAP
    chosen: Widths = {}
    for column in by_importance:
        if column.id not in left_out and column.width + _GAP <= room:
            chosen[column.id] = column.width
            room -= column.width + _GAP
    for column in by_importance:
        more = column.wide - column.width
        if column.id in chosen and 0 < more <= room:
            chosen[column.id] = column.wide
            room -= more
    return {column.id: chosen[column.id] for column in columns if column.id in chosen}


Cell = str | tuple[str, str]
"""A text, or a text and its style."""


def line(columns: Sequence[Column], widths: Widths, cells: Mapping[str, Cell]) -> Content:
    """Return a row; a text that is too long ends in an ellipsis."""
    parts: list[Cell] = []
    for column in columns:
        if column.id not in widths:
            continue
        text, style = _with_style(cells.get(column.id, ""))
        parts += (" " * _GAP if parts else "", (_fitted(text, widths[column.id], left=column.left), style))
    return Content.assemble(*parts)


def heading(columns: Sequence[Column], widths: Widths, marked: str | None = None, mark: str = "") -> Content:
    """Return the labels; the one that a table is sorted by carries a mark."""
    return line(
        columns,
        widths,
        {column.id: column.label + (mark if column.id == marked else "") for column in columns},
    )


def _with_style(cell: Cell) -> tuple[str, str]:
    return (cell, "") if isinstance(cell, str) else cell


def _fitted(text: str, width: int, *, left: bool) -> str:
    if len(text) > width:
        text = text[: max(0, width - 1)] + "…"
    return text.ljust(width) if left else text.rjust(width)
