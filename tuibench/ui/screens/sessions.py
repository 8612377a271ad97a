"""What was measured before, and the recordings that ship."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.getters import query_one

from tuibench import paths
from tuibench.core import format as fmt
from tuibench.store.annotations import annotate
from tuibench.store.schema import SessionError
from tuibench.store.trash import delete, deleted, restore
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.messages import ComparisonWanted, ResumeWanted, SessionChosen
from tuibench.ui.screens.base import DashboardScreen
from tuibench.ui.text.session_list import Order, search
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.row_list import RowList
from tuibench.ui.widgets.search_line import SearchLine
from tuibench.ui.widgets.session_card import SessionCard
from tuibench.ui.widgets.session_rows import SessionRows
from tuibench.ui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary
    from tuibench.ui.context import Context

_N_READ = 150
"""Files that are read whole before the list is painted again: a third of a second."""
_N_AT_FIRST = 100
"""Headers that are read before the list is painted at all: more than fit on a screen."""
_OF_THE_ROW = ("sessions.open", "sessions.replay", "sessions.mark", "sessions.edit", "sessions.resume")
"""Keys that need a session to point at."""
_OF_MARKED_ONES = ("sessions.compare", "sessions.delete")
"""Keys for which a marked one will do that the search hides."""
_OF_THE_LIST = ("sessions.mark_all", "sessions.search", "sessions.sort", "sessions.turn")
"""Keys that need any session."""
_NONE_YET = "no session yet – F2, type a prompt, press F5"


class SessionsScreen(DashboardScreen):
    """A list to search, sort, mark and open. A damaged file is in it too, with what is wrong with it."""

    BINDINGS = bindings("sessions")
    BINDING_GROUP_TITLE = "Sessions"
    AUTO_FOCUS = "#sessions"

    table = query_one(SessionRows)
    card = query_one(SessionCard)
    status = query_one(StatusLine)
    query_line = query_one(SearchLine)

    def __init__(
        self,
        context: Context,
        session_under_way: Callable[[], Path | None],
        latest: Callable[[], Path | None] = lambda: None,
    ) -> None:
        """Say what is known of the bench.

        Args:
            context: The dashboard's.
            session_under_way: Which file is being written.
            latest: Which one the bench shows; a visit begins on it where it was not there before.
        """
        super().__init__()
        self._latest = latest
        self._latest_before: Path | None = None
        self.context = context
        self._session_under_way = session_under_way
        self._sessions: dict[str, SessionSummary] = {}
        self._marked: set[str] = set()
        self._order = Order()
        self._deleted: list[list[Path]] = []
        self._nothing_listed = False
        """What is known: as long as the folders are not read, there may be something."""
        self._can_undo = False
        self._rare_before: frozenset[str] = frozenset()
        self._as_seen: object = None
        """What the table shows: sessions in order, marks, colours."""

    @property
    def rare_keys(self) -> frozenset[str]:
        """Keys that would do nothing now: the one that leads here, and those for which there is no session.

        On one that ships those that would change it, too.
        """
        pointed = self._sessions.get(self._current_key or "")
        fixed = pointed is not None and paths.is_bundled(pointed.path)
        useless = {
            "app.sessions": True,
            **dict.fromkeys(_OF_THE_ROW, self._nothing_listed),
            **dict.fromkeys(_OF_MARKED_ONES, self._nothing_listed and not self._marked),
            **dict.fromkeys(_OF_THE_LIST, self._nothing_listed and not self._sessions),
            "sessions.undo": not self._can_undo,
        }
        changing = {"sessions.edit", "sessions.resume", *(() if self._marked else ("sessions.delete",))}
        rare = {key for key, left_out in useless.items() if left_out}
        return frozenset(rare | changing if fixed else rare)

    def compose_body(self) -> ComposeResult:
        """Lay out the list and what there is to say about its current row."""
        yield StatusLine()
        yield SearchLine()
        with Horizontal(id="browser"):
            yield SessionRows(self.context.series)
            yield SessionCard(self.context.series)
        yield KeyLine()

    def on_mount(self) -> None:
        """Say what is listed; the list itself comes with every visit."""
        self.status.facts = ("stored measurements",)
        self.table.border_title = "Sessions"

    def on_screen_resume(self) -> None:
        """Look again: a run may have been saved since."""
        if not self.query_line.has_focus:
            self.table.focus()
        self.action_reload()

    # The list -------------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="list")
    async def action_reload(self) -> None:
        """Read the folders: what is known or said by the newest headers, by the others, then file after file."""
        wanted: tuple[int, ...] = (0, _N_AT_FIRST)
        with suppress(OSError):  # somebody else brings one back
            self._can_undo = bool(self._deleted or await asyncio.to_thread(deleted, paths.sessions_dir()))
        # Colours are given in the order of the ladder, whichever sessions are looked at first.
        self.context.series.add(await asyncio.to_thread(self.context.known_methods))
        while True:
            found = await asyncio.to_thread(self.context.services.sessions, *wanted)
            self._sessions = {str(session.path): session for session in found}
            self._marked.intersection_update(self._sessions)
            self._show_list()
            if all(session.complete for session in found):
                return
            wanted = (0,) if any(session.unread for session in found) else (_N_READ,)

    @property
    def _shown(self) -> list[SessionSummary]:
        return self._order.sort(search(self._sessions.values(), self.query_line.value))

    def _show_list(self) -> None:
        """Show the list anew, the cursor on the session it was on."""
        shown = self._shown
        as_seen = self._look_of(shown)
        if as_seen != self._as_seen:
            self._as_seen = as_seen
            self.table.show(shown, self._marked)
            self._describe(self.table.pointed)
        if not shown:
            self.card.empty(self._why_none)
        self._point_at_latest()
        self._write_state(len(shown))
        self._nothing_listed = not shown
        self._name_keys()

    def _name_keys(self) -> None:
        if (rare := self.rare_keys) != self._rare_before:
            self._rare_before = rare
            self.refresh_bindings()

    @property
    def _why_none(self) -> str:
        return f"nothing found – esc shows all {len(self._sessions)}" if self._sessions else _NONE_YET

    def _point_at_latest(self) -> None:
        latest = self._latest()
        if latest is not None and latest != self._latest_before and str(latest) in self.table.keys:
            self._latest_before = latest
            self.table.point(str(latest))
            self._describe(self.table.pointed)

    def _look_of(self, shown: list[SessionSummary]) -> object:
        return shown, frozenset(self._marked), self.context.series.n_changes

    def _write_state(self, n_shown: int) -> None:
        n_all, n_unread = len(self._sessions), self._n_unread
        parts = [fmt.counted(n_all, "session") if n_shown == n_all else f"{n_shown} of {n_all}"]
        parts += [f"{len(self._marked)} marked"] if self._marked else []
        parts += [f"reading {n_unread}"] if n_unread else []
        self.status.state = " · ".join((*parts, self._order.label))

    @property
    def _n_unread(self) -> int:
        return sum(not session.complete for session in self._sessions.values())

    @on(RowList.Pointed)
    def describe_row(self, event: RowList.Pointed) -> None:
        """Say what the columns have no room for."""
        event.stop()
        self._describe(event.key)
        self._name_keys()

    def _describe(self, key: str | None) -> None:
        session = self._sessions.get(key or "")
        if session is None:
            return
        series = self.context.series
        before = series.n_changes
        series.show_together(session.methods)
        if series.n_changes != before:
            self.table.recolour()
        self.card.describe(session)

    # Search, order, marks -------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Go to the search line."""
        self.query_line.open()

    @on(SearchLine.Changed)
    def show_found(self) -> None:
        """Narrow the list down with every letter."""
        self._show_list()

    @on(SearchLine.Left)
    def leave_search(self) -> None:
        """Go back to the list."""
        self.table.focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._order = self._order.next()
        self._show_list()

    def action_turn_order(self) -> None:
        """Sort the other way round."""
        self._order = self._order.turn()
        self._show_list()

    def action_mark(self) -> None:
        """Mark the current session or take its mark away, and go on to the next."""
        key = self._current_key
        if key is not None:
            self._marked.symmetric_difference_update({key})
            self.table.show_mark()
            self.table.action_cursor_down()
            shown = self._shown
            self._as_seen = self._look_of(shown)
            self._write_state(len(shown))
            self._name_keys()

    def action_mark_all(self) -> None:
        """Mark all that are listed; if they are, none."""
        shown = {str(session.path) for session in self._shown}
        (self._marked.difference_update if shown <= self._marked else self._marked.update)(shown)
        self._show_list()

    def action_reset(self) -> None:
        """End the search; a second time, take all marks away."""
        if self.query_line.value:
            self.query_line.close()
        elif self._marked:
            self._marked.clear()
            self._show_list()

    # What is done with sessions -------------------------------------------------------------------------------------

    @property
    def _current_key(self) -> str | None:
        return self.table.pointed

    def _chosen(self) -> list[SessionSummary]:
        """Return the marked sessions, else the current one; none, and a notice, where there is none."""
        keys = [key for key in self._sessions if key in self._marked] or [self._current_key or ""]
        chosen = [self._sessions[key] for key in keys if key in self._sessions]
        if not chosen:
            self.notify(self._why_none, severity="warning")
        return chosen

    @on(SessionRows.Opened)
    def open_row(self, event: SessionRows.Opened) -> None:
        """Open the row that the mouse chose."""
        event.stop()
        self.action_open()

    def action_open(self) -> None:
        """Open the current row."""
        self._choose(replay=False)

    def action_open_replay(self) -> None:
        """Open the current row and let it play."""
        self._choose(replay=True)

    def _choose(self, *, replay: bool) -> None:
        session = self._sessions.get(self._current_key or "")
        if session is None:
            self.notify(self._why_none, severity="warning")
        else:
            self.app.post_message(SessionChosen(session.path, replay=replay))

    def action_compare(self) -> None:
        """Lay the marked sessions side by side, the oldest first: what the others are held against."""
        chosen = self._chosen()
        dated = sorted((each.created, each.path) for each in chosen if each.created is not None)
        readable = tuple(path for _, path in dated)
        if readable:
            self.app.post_message(ComparisonWanted(readable))
        elif chosen:
            self.notify("there is nothing to compare in a file that cannot be read", severity="warning")

    def action_resume(self) -> None:
        """Measure what is missing of the current session."""
        session = self._sessions.get(self._current_key or "")
        if session is None:
            self.notify(self._why_none, severity="warning")
        else:
            self.app.post_message(ResumeWanted(session.path))

    @work(group="edit")
    async def action_edit(self) -> None:
        """Change name, tags and note of the current session."""
        session = self._sessions.get(self._current_key or "")
        if session is None or not self._may_change([session]):
            return
        from tuibench.ui.screens.edit_session import EditSessionScreen  # noqa: PLC0415 - when it is asked for

        changed = await self.app.push_screen_wait(EditSessionScreen(session))
        if changed is not None:
            try:
                await asyncio.to_thread(annotate, session.path, changed)
            except SessionError as error:
                self._tell(error)
        # Coming back from the dialog, the screen looks at the folders by itself, perhaps before this was written.
        self.action_reload()

    def action_delete(self) -> None:
        """Put the marked sessions away; they can be brought back."""
        chosen = self._chosen()
        if not chosen or not self._may_change(chosen):
            return
        put_away: list[Path] = []
        for session in chosen:
            try:
                put_away.append(delete(session.path))
            except SessionError as error:
                self._tell(error)
        if put_away:
            self._deleted.append(put_away)
            what = fmt.printable(chosen[0].title) if len(put_away) == 1 else fmt.counted(len(put_away), "session")
            self.app.clear_notifications()
            self.notify(f"deleted {what} – u brings {'it' if len(put_away) == 1 else 'them'} back")
        self.action_reload()

    def action_undo_delete(self) -> None:
        """Bring back what was deleted last, if need be by an earlier visit."""
        last = self._deleted.pop() if self._deleted else deleted(paths.sessions_dir())[:1]
        if not last:
            self.notify("nothing was deleted in the last 30 days", severity="warning")
        n_back = 0
        for path in last:
            try:
                restore(path)
            except SessionError as error:
                self._tell(error)
            else:
                n_back += 1
        if n_back:
            self.app.clear_notifications()  # that it was deleted is over
            self.notify(f"{fmt.counted(n_back, 'session')} back")
        self.action_reload()

    def _may_change(self, chosen: Sequence[SessionSummary]) -> bool:
        """Whether these are the user's own, and finished: a recording that ships stays as it is."""
        under_way = self._session_under_way()
        if any(session.path == under_way for session in chosen):
            self.notify("this session is being measured – F8 on the bench stops it", severity="warning")
            return False
        fixed = [session for session in chosen if paths.is_bundled(session.path)]
        if fixed:
            self.notify(f"{fmt.printable(fixed[0].title)} comes with tuibench and stays as it is", severity="warning")
        return not fixed

    def _tell(self, error: SessionError) -> None:
        self.notify(fmt.printable(str(error)), title="Session", severity="error", timeout=10)
