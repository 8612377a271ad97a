"""The list of sessions: a thousand rows, of which only those in view are ever made."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.message import Message

from tuibench.core import format as fmt
from tuibench.ui.text.columns import TableColumn, Widths, fit, heading
from tuibench.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary
    from tuibench.ui.look.series import SeriesMap

# The first five are those that a terminal of 80 columns shows whatever is in them.
_COLUMNS = (
    TableColumn("mark", "", 1, 100, left=True),
    TableColumn("recorded", "recorded", 16, 90, left=True),
    TableColumn("name", "name", 19, 99, left=True),
    TableColumn("fastest", "fastest", 23, 80, left=True),
    TableColumn("trials", "trials", 6, 50),
    TableColumn("tags", "tags", 16, 40, left=True),
    TableColumn("model", "model", 22, 30, left=True),
    TableColumn("methods", "methods", 40, 20, left=True),
)
_NAME_SHOWN, _NAME_IMPORTANCE = 36, 45
"""Cells of a name that come before tags, model and methods."""
_READING = "…"


class SessionRows(RowList):
    """Sessions in the order in which they are given."""

    @dataclass
    class Opened(Message):
        """The row pointed at was clicked on."""

    def __init__(self, series: SeriesMap) -> None:
        super().__init__(id="sessions")
        self._series = series
        self._sessions: Sequence[SessionSummary] = ()
        self._marked: Container[str] = ()
        self._longest: Mapping[str, int] = {}
        self._widths: Widths = {}

    def show(self, sessions: Sequence[SessionSummary], marked: Container[str]) -> None:
        """Show these sessions, the row pointed at on the one that it was on.

        Args:
            sessions: In order.
            marked: The paths of those that are marked; asked whenever a row is drawn.
        """
        if sessions != self._sessions:  # of ten thousand it takes longer than a key may
            longest = {column: max(map(cell_len, map(text, sessions))) for column, text in _TEXTS.items() if sessions}
            self._longest = longest
        self._sessions, self._marked = sessions, marked
        self._fit()
        self.write_lazily(self._heading, [str(session.path) for session in sessions], _Rows(self))

    def recolour(self) -> None:
        """Draw all rows anew: methods have other colours now."""
        self.show(self._sessions, self._marked)

    def show_mark(self) -> None:
        """Draw the row pointed at anew, whose mark has changed."""
        self._redraw(self.at)

    def on_resize(self) -> None:
        """Find out which columns fit."""
        super().on_resize()
        self._fit()
        self.refresh()

    def _fit(self) -> None:
        columns = [_with_room(column, self._longest.get(column.id)) for column in _COLUMNS]
        nowhere = [column for column, longest in self._longest.items() if not longest]
        self._widths = fit(columns, max(1, self.scrollable_content_region.width), hidden=nowhere)
        self._heading = heading(_COLUMNS, self._widths)

    def on_click(self, event: Click) -> None:
        """Go to the row that was clicked; open the one that was pointed at already."""
        before = self.at
        super().on_click(event)
        offset = event.get_content_offset(self)
        if self.keys and offset is not None and offset.y - 1 + self.scroll_offset.y == before:
            self.post_message(self.Opened())

    @property
    def n_rows(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def row(self, number: int) -> Content:
        """Make one row."""
        cells = self._cells(self._sessions[number])
        shown = [
            cells[column.id].truncate(self._widths[column.id], ellipsis=True, pad=True)
            for column in _COLUMNS
            if column.id in self._widths
        ]
        return Content("  ").join(shown)

    def _cells(self, session: SessionSummary) -> dict[str, Content]:
        doubt = ("$warning" if session.readable else "$error") if session.problem else ""
        n_trials = str(session.n_trials) if session.complete else _READING
        return {
            "mark": Content.styled("●" if str(session.path) in self._marked else " ", "$accent"),
            "recorded": Content.styled(fmt.moment(session.created), "$muted"),
            "name": Content.styled(_name(session), doubt),
            "fastest": self._fastest(session),
            "trials": Content(n_trials.rjust(self._widths.get("trials", 0))),
            "tags": Content.styled(_tags(session), "$accent"),
            "model": Content(_model(session)),
            "methods": Content.styled(_methods(session), "$muted"),
        }

    def _fastest(self, session: SessionSummary) -> Content:
        if session.fastest is None:
            return Content.styled(_fastest(session), "$muted")
        method, rate = _method_and_rate(*session.fastest)
        room = max(1, self._widths.get("fastest", 0) - len(rate))
        name = Content.styled(method, self._series.variable(session.fastest[0])).truncate(room, ellipsis=True)
        return Content.assemble(name, (rate, "$muted"))


def _with_room(column: TableColumn, longest: int | None) -> TableColumn:
    """Return a column that knows its longest text; names are widened before the least important columns are shown."""
    if column.id != "name" or longest is None or longest <= column.width:
        return replace(column, longest=longest)
    return replace(column, longest=longest, wide=min(longest, _NAME_SHOWN), wide_importance=_NAME_IMPORTANCE)


def _name(session: SessionSummary) -> str:
    return fmt.printable_line(session.title)


def _fastest(session: SessionSummary) -> str:
    if session.fastest is None:
        return fmt.MISSING if session.complete else _READING
    return "".join(_method_and_rate(*session.fastest))


def _method_and_rate(method: str, tps: float) -> tuple[str, str]:
    return fmt.printable(method), f" {fmt.rate(tps)}"


def _tags(session: SessionSummary) -> str:
    return fmt.printable(" ".join(session.tags))


def _model(session: SessionSummary) -> str:
    return fmt.printable(session.model)


def _methods(session: SessionSummary) -> str:
    return fmt.printable(", ".join(session.methods))


_TEXTS: Mapping[str, Callable[[SessionSummary], str]] = {
    "name": _name,
    "fastest": _fastest,
    "tags": _tags,
    "model": _model,
    "methods": _methods,
}
"""What columns of any width say."""


class _Rows(Sequence[Content]):
    """All rows, each made when it is asked for."""

    def __init__(self, owner: SessionRows) -> None:
        self._owner = owner

    def __len__(self) -> int:
        return self._owner.n_rows

    def __getitem__(self, number: int) -> Content:  # type: ignore[override] # nobody asks for slices
        if number >= len(self):
            raise IndexError(number)
        return self._owner.row(number)
