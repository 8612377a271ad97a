"""The editor of the prompt."""

from __future__ import annotations

from textual.message import Message
from textual.widgets import TextArea

from tuibench.ui.keymap import bindings


class PromptBox(TextArea):
    """A soft-wrapped text area that can ask for a run."""

    BINDINGS = bindings("prompt")

    class Sent(Message):
        """The user asked for a run with this prompt."""

    def __init__(self, text: str = "") -> None:
        super().__init__(
            text, id="prompt", compact=True, placeholder="Type a prompt, press F5", highlight_cursor_line=False
        )
        self.border_title = "Prompt"

    def action_send(self) -> None:
        """Ask for a run."""
        self.post_message(self.Sent())
