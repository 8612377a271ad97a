"""The line to search in; hidden while nothing is searched for."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message
from textual.widgets import Input

from tuibench.ui.keys.keymap import bindings


class SearchLine(Input):
    """Filters with every letter. Enter keeps what is searched for, escape ends it; both go back to the list."""

    BINDINGS = bindings("search")

    @dataclass
    class Left(Message):
        """The user goes back to the list."""

    def __init__(self) -> None:
        super().__init__(placeholder="name, prompt, #tag, note, model, method, 2026-11 …", compact=True, id="search")
        self.border_title = "Search"
        self.display = False

    def open(self) -> None:
        """Show the line and go to it."""
        self.display = True
        self.focus()

    def close(self) -> None:
        """Search for nothing any more."""
        self.value = ""
        self.display = False

    def action_done(self) -> None:
        """Keep what is searched for."""
        self.display = bool(self.value)
        self.post_message(self.Left())

    def action_cancel(self) -> None:
        """Search for nothing any more."""
        self.close()
        self.post_message(self.Left())
