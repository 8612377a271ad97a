"""Tables that fit: which columns there is room for, and one line of text for each row. Knows no widget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

_GAP = 2


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of a table."""

    id: str
    label: str
    width: int
    """The least that it can be shown in."""
    importance: int
    """Where there is too little room, the least important columns go first."""
    wide: int = 0
    """A width that shows more, an interval beside its value for example; 0 if there is none."""
    wide_importance: int = 0
    """What the wide form has to compete with other columns by."""
    longest: int | None = None
    """Cells of the longest text in it, where that is known: it takes no more, and gets that many where cells are left
    over."""
    left: bool = False


Widths = dict[str, int]
"""Cells of each column that is shown, in the order of the table."""


def fit(columns: Sequence[TableColumn], width: int, *, hidden: Iterable[str] = ()) -> Widths:
    """Return the columns that fit into a width, and how wide each is: what is more important gets its room first.

    Cells that no column needs go to those whose texts would be cut, the most important first.
    """
    left_out = set(hidden)
    room = width + _GAP
    chosen: Widths = {}
    least = {column.id: _least(column) for column in columns}
    wishes = [(column.importance, least[column.id] + _GAP, least[column.id], column) for column in columns]
    wishes += [(column.wide_importance, column.wide - least[column.id], column.wide, column) for column in columns]
    for importance, cost, wanted, column in sorted(wishes, key=lambda wish: -wish[0]):
        widens = wanted == column.wide and wanted != least[column.id]
        possible = importance and column.id not in left_out and cost <= room
        if possible and widens == (column.id in chosen):
            chosen[column.id] = wanted
            room -= cost
    for column in sorted(columns, key=lambda column: -column.importance):
        if column.id in chosen:
            more = min(room, max(0, (column.longest or 0) - chosen[column.id]))
            chosen[column.id] += more
            room -= more
    return {column.id: chosen[column.id] for column in columns if column.id in chosen}


def _least(column: TableColumn) -> int:
    return column.width if column.longest is None else min(column.width, max(column.longest, len(column.label)))


Cell = str | tuple[str, str]
"""A text, or a text and its style."""


def line(columns: Sequence[TableColumn], widths: Widths, cells: Mapping[str, Cell]) -> Content:
    """Return a row; a text that is too long ends in an ellipsis."""
    parts: list[Cell] = []
    for column in columns:
        if column.id not in widths:
            continue
        text, style = _with_style(cells.get(column.id, ""))
        parts += (" " * _GAP if parts else "", (_fitted(text, widths[column.id], left=column.left), style))
    return Content.assemble(*parts)


def heading(columns: Sequence[TableColumn], widths: Widths, marked: str | None = None, mark: str = "") -> Content:
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
