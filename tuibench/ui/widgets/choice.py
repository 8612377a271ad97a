"""One of a few words, changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tuibench.ui.keys.keymap import bindings


class Choice(Widget, can_focus=True):
    """`‹ standard ›`: the arrow keys or the space bar take the next one."""

    BINDINGS = bindings("choice")
    DEFAULT_CSS = "Choice { height: 1; width: auto; }"

    value: reactive[str] = reactive("", layout=False)

    @dataclass
    class Changed(Message):
        """The user chose another word."""

        choice: Choice
        value: str

        @property
        def control(self) -> Choice:
            """The widget it is about."""
            return self.choice

    def __init__(self, options: Sequence[str], value: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._options = tuple(options)
        self.set_reactive(Choice.value, value)

    def render(self) -> Content:
        """Draw the word between its arrows."""
        width = max(map(len, self._options))
        return Content.assemble(("‹ ", "$muted"), f"{self.value:<{width}}", (" ›", "$muted"))

    def get_content_width(self, *_: object) -> int:
        """Have room for the longest."""
        return max(map(len, self._options)) + 4

    def action_next(self, step: int = 1) -> None:
        """Take another one."""
        at = self._options.index(self.value) if self.value in self._options else -step
        self.value = self._options[(at + step) % len(self._options)]
        self.post_message(self.Changed(self, self.value))

    def on_click(self) -> None:
        """Take the next one."""
        self.action_next()
