"""What rows of a comparison are called beside each other, in as many cells as there are. Pure: no widget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from tuibench.core import format as fmt
from tuibench.core.present.run_labels import run_names
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.row import Row

SESSION_CELLS = 22
"""Cells for the name of a session or of a part of one where there is little room."""
_COLOURED = 4
"""Cells of a method's name, which its colour tells as well, before what tells a shape is cut."""
_CUT_LABELS = (16, 8)
"""Cells for what tells a run from others where a name has to stand beside a point."""


def key(row: Row) -> str:
    """Return what tells a row from the others."""
    return f"{row.run}:{row.method}"


class RowNames:
    """What to call rows beside each other: their methods, and where their runs differ, what tells those apart."""

    def __init__(self, comparison: Comparison, rows: Sequence[Row]) -> None:
        self.runs = run_names(comparison.runs, dict.fromkeys(row.run for row in rows))
        self._of_shapes = self.runs.own != self.runs.brief
        self._rows = rows

    @cached_property
    def _n_called(self) -> Counter[str]:
        """How many rows each form of a name would do for; tables and bars need not know."""
        return Counter(name for row in self._rows for name in dict.fromkeys(self._forms(row)))

    def own(self, row: Row) -> str:
        """Return what tells a row's run from the others."""
        return fmt.printable_line(self.runs.own[row.run])

    def brief(self, row: Row) -> str:
        """Return the same with a letter for each axis of a shape."""
        return fmt.printable_line(self.runs.brief[row.run])

    def whole(self, row: Row) -> str:
        """Return a row's name, however long it is."""
        return joined(fmt.printable(row.method), self.own(row))

    def forms(self, row: Row) -> tuple[str, ...]:
        """Return a row's name in ever fewer cells, as far as it is that of no other row."""
        return tuple(name for name in self._forms(row) if self._n_called[name] == 1)

    def _forms(self, row: Row) -> tuple[str, ...]:
        method = fmt.printable(row.method)
        labels = (self.own(row), self.brief(row), *(cut(self.brief(row), width) for width in _CUT_LABELS), "")
        return tuple(joined(method, label) for label in labels)

    def within(self, width: int, rows: Sequence[Row]) -> dict[str, str]:
        """Return a name of at most so many cells for each of some rows: whole ones, else all brief, else both cut."""
        if not self._of_shapes or max((len(self.whole(row)) for row in rows), default=0) <= width:
            return {key(row): self._fitted(row, self.own(row), width) for row in rows}
        return {key(row): self._fitted(row, self.brief(row), width) for row in rows}

    def _fitted(self, row: Row, label: str, width: int) -> str:
        """Return a name in so many cells: what tells the run stays, as far as it tells it from the others."""
        method = fmt.printable(row.method)
        if len(whole := joined(method, label)) <= width:
            return whole
        if not label:
            return cut(method, width)
        room = width - len(" · ")
        least = room - _COLOURED if self._of_shapes else room // 2
        label = cut(label, min(SESSION_CELLS, max(least, room - len(method))))
        return f"{cut(method, max(1, width - len(label) - 3))} · {label}"[:width]


def joined(method: str, label: str) -> str:
    """Return a name of two parts, the second where there is one."""
    return f"{method} · {label}" if label else method


def cut(text: str, width: int) -> str:
    """Return a text of at most so many cells: dates differ at their end, what was named by hand mostly before it."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
