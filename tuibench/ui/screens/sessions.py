"""What was measured before, and the recordings that ship."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.getters import query_one
from textual.widgets import DataTable, Footer, Static

from tuibench.core import format as fmt
from tuibench.ui.keymap import bindings
from tuibench.ui.messages import SessionChosen
from tuibench.ui.screens.base import DashboardScreen
from tuibench.ui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary
    from tuibench.ui.services import Context

# The first four are those that a terminal of 80 columns shows.
_COLUMNS = (("recorded", 16), ("name", 22), ("trials", 6), ("methods", 24), ("model", 24))


class SessionsScreen(DashboardScreen):
    """A list, newest first. A damaged file is in it too, with what is wrong with it."""

    BINDINGS = bindings("sessions")
    BINDING_GROUP_TITLE = "Sessions"

    table = query_one(DataTable)
    hint = query_one("#hint", Static)
    status = query_one(StatusLine)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._sessions: dict[str, SessionSummary] = {}

    def compose_body(self) -> ComposeResult:
        """Lay out the list and the line that says more about its current row."""
        yield StatusLine()
        table: DataTable[Text] = DataTable(id="sessions", cursor_type="row", cursor_foreground_priority="renderable")
        table.border_title = "Sessions"
        yield table
        yield Static(id="hint", markup=False)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Set up the columns; the list itself comes with every visit."""
        self.status.facts = ("stored measurements",)
        for label, width in _COLUMNS:
            self.table.add_column(Text(label), key=label, width=width)

    def on_screen_resume(self) -> None:
        """Look again: a run may have been saved since."""
        self.table.focus()
        self.action_reload()

    @work(exclusive=True, group="list")
    async def action_reload(self) -> None:
        """Read the folders."""
        found = await asyncio.to_thread(self.context.services.sessions)
        self._sessions = {str(session.path): session for session in found}
        muted, error = (self.app.theme_variables[name] for name in ("muted", "error"))
        self.table.clear()
        for key, session in self._sessions.items():
            created = f"{session.created.astimezone():%Y-%m-%d %H:%M}" if session.created else fmt.MISSING
            cells = (
                Text(created, style=muted),
                Text(fmt.printable(session.name), style=error if session.problem and not session.n_trials else ""),
                Text(str(session.n_trials), justify="right"),
                Text(fmt.printable(", ".join(session.methods))),
                Text(fmt.printable(session.model)),
            )
            self.table.add_row(*cells, key=key)
        self.status.state = f"{len(found)} session{'' if len(found) == 1 else 's'}"
        if not found:
            self.hint.update("no session yet – F2, type a prompt, press F5")

    @on(DataTable.RowHighlighted)
    def describe_row(self, event: DataTable.RowHighlighted) -> None:
        """Say what the columns have no room for."""
        session = self._sessions.get(event.row_key.value or "")
        if session is not None:
            self.hint.update(fmt.printable(session.problem or f"{session.path.name} · enter opens · r replays"))

    @on(DataTable.RowSelected)
    def open_row(self, event: DataTable.RowSelected) -> None:
        """Open the row that enter or the mouse chose."""
        event.stop()
        self._choose(replay=False)

    def action_open(self) -> None:
        """Open the current row."""
        self._choose(replay=False)

    def action_open_replay(self) -> None:
        """Open the current row and let it play."""
        self._choose(replay=True)

    def _choose(self, *, replay: bool) -> None:
        if not self.table.row_count:
            self.notify("no session yet – F2, type a prompt, press F5", severity="warning")
            return
        key = self.table.coordinate_to_cell_key(self.table.cursor_coordinate).row_key.value or ""
        self.app.post_message(SessionChosen(self._sessions[key].path, replay=replay))
