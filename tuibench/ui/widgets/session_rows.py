"""The list of sessions: a thousand rows, of which only those in view are ever made."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.events import Click
from textual.message import Message

from tuibench.core import format as fmt
from tuibench.ui.text.columns import TableColumn, Widths, fit, heading
from tuibench.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary
    from tuibench.ui.look.series import SeriesMap

# The first five are those that a terminal of 80 columns shows.
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
        self._widths: Widths = {}

    def show(self, sessions: Sequence[SessionSummary], marked: Container[str]) -> None:
        """Show these sessions, the row pointed at on the one that it was on.

        Args:
            sessions: In order.
            marked: The paths of those that are marked; asked whenever a row is drawn.
        """
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
        self._widths = fit(_COLUMNS, max(1, self.scrollable_content_region.width))
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
        created = f"{session.created.astimezone():%Y-%m-%d %H:%M}" if session.created else fmt.MISSING
        doubt = ("$warning" if session.readable else "$error") if session.problem else ""
        n_trials = str(session.n_trials) if session.complete else _READING
        return {
            "mark": Content.styled("●" if str(session.path) in self._marked else " ", "$accent"),
            "recorded": Content.styled(created, "$muted"),
            "name": Content.styled(fmt.printable_line(session.title), doubt),
            "fastest": self._fastest(session),
            "trials": Content(n_trials.rjust(self._widths.get("trials", 0))),
            "tags": Content.styled(fmt.printable(" ".join(session.tags)), "$accent"),
            "model": Content(fmt.printable(session.model)),
            "methods": Content.styled(fmt.printable(", ".join(session.methods)), "$muted"),
        }

    def _fastest(self, session: SessionSummary) -> Content:
        if session.fastest is None:
            return Content.styled(fmt.MISSING if session.complete else _READING, "$muted")
        method, tps = session.fastest
        rate = f" {fmt.rate(tps)}"
        room = max(1, self._widths.get("fastest", 0) - len(rate))
        name = Content.styled(fmt.printable(method), self._series.variable(method)).truncate(room, ellipsis=True)
        return Content.assemble(name, (rate, "$muted"))


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
