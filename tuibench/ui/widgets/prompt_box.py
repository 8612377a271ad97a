"""The editor of the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from textual.message import Message
from textual.widgets import TextArea

from tuibench.ui.keys.keymap import bindings


class PromptBox(TextArea):
    """A soft-wrapped text area that can ask for a run. Beyond its first line lie the prompts used before."""

    BINDINGS = bindings("prompt")

    class Sent(Message):
        """The user asked for a run with this prompt."""

    def __init__(self, text: str = "") -> None:
        super().__init__(
            text,
            id="prompt",
            compact=True,
            placeholder="Type a prompt, press F5 – ↑ the ones before, ctrl+o all",
            highlight_cursor_line=False,
        )
        self.border_title = "Prompt"
        self._earlier: tuple[str, ...] = ()
        self._draft = ""
        self._back = 0
        """How many prompts back; 0 is what is being written."""

    def remember(self, earlier: Sequence[str]) -> None:
        """Have these prompts above the first line, the newest last."""
        self._earlier = tuple(earlier)
        self._back = 0

    def action_send(self) -> None:
        """Ask for a run."""
        self.post_message(self.Sent())

    def action_cursor_up(self, select: bool = False) -> None:
        """Go up a line; from the first one, to the prompt before."""
        if not select and self.cursor_at_first_line and self._back < len(self._earlier):
            self._go_back(self._back + 1)
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Go down a line; from the last one, to the prompt after."""
        if not select and self.cursor_at_last_line and self._back:
            self._go_back(self._back - 1)
        else:
            super().action_cursor_down(select)

    def _go_back(self, n: int) -> None:
        if not self._back:
            self._draft = self.text
        self._back = n
        self.text = self._earlier[-n] if n else self._draft
        self.move_cursor(self.document.end)
