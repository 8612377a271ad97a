"""The manual that travels with the program, to be read where the README is not at hand."""

from __future__ import annotations

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.getters import query_one
from textual.widgets import Markdown

from tuibench.topics import text, topics
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.screens.base import DashboardScreen, destination
from tuibench.ui.text.columns import TableColumn, heading, line
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.row_list import RowList

_COLUMNS = (TableColumn("title", "page", 42, 2, left=True), TableColumn("name", "name", 10, 1, left=True))
_WIDTHS = {"title": 42, "name": 10}
"""Where pages stand beside the list, there is room for their titles."""


class ManualScreen(DashboardScreen):
    """The list of pages, and the one pointed at; where there is no room for both, one after the other."""

    BINDINGS = bindings("manual")
    BINDING_GROUP_TITLE = "Manual"

    rows = query_one("#pages", RowList)
    column = query_one("#page", VerticalScroll)
    page = query_one(Markdown)

    def __init__(self, name: str | None = None) -> None:
        """Begin with a page, or with the list."""
        super().__init__()
        self._first = name

    def compose_body(self) -> ComposeResult:
        """Lay out the screen."""
        with Horizontal(id="manual"):
            yield RowList(id="pages")
            with VerticalScroll(id="page", classes="box"):
                yield Markdown(open_links=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """List the pages, and open one."""
        self.rows.border_title = "Manual"
        self.rows.add_class("box")
        self.rows.focus()
        pages = topics()
        lines = [line(_COLUMNS, _WIDTHS, {"title": page.title, "name": (page.name, "$muted")}) for page in pages]
        self.rows.write(heading(_COLUMNS, _WIDTHS), [page.name for page in pages], lines)
        if self._first is not None:
            self.read(self._first)
        else:
            self._show()

    @property
    def key_labels(self) -> dict[str, str]:
        """Where closing leads."""
        return {"manual.back": "Pages" if self.has_class("-reading") else destination(self)}

    @property
    def rare_keys(self) -> frozenset[str]:
        """What the line of keys leaves out: to read what is read."""
        return frozenset({"manual.read"} if self.has_class("-reading") else ())

    def read(self, name: str) -> None:
        """Open a page."""
        self.rows.point(name)
        self.action_read()

    @on(RowList.Pointed)
    @work(exclusive=True, group="page")
    async def _show(self) -> None:
        name = self.rows.pointed
        if name is not None:
            self.column.border_title = f"tuibench help {name}"
            await self.page.update(text(name))
            self.column.scroll_home(animate=False)

    def action_read(self) -> None:
        """Read the page pointed at."""
        self._show()
        self.add_class("-reading")
        self.column.focus()
        self.refresh_bindings()

    def action_walk(self, step: int) -> None:
        """Go to the next page."""
        names = self.rows.keys
        self.read(names[(self.rows.at + step) % len(names)])

    @on(Markdown.LinkClicked)
    def follow(self, event: Markdown.LinkClicked) -> None:
        """Say where what a page names is: it is not part of what is installed."""
        event.stop()
        self.notify(f"{event.href.removeprefix('../../')} – in the repository")

    def action_back(self) -> None:
        """Go back to the list, or to where this was opened."""
        if self.has_class("-reading"):
            self.remove_class("-reading")
            self.rows.focus()
            self.refresh_bindings()
        else:
            self.dismiss()
