"""What to do where nothing has been measured yet, above the recording that shows what it will be like."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from tuibench.core import format as fmt


class Offer(Static):
    """Two lines that stay until the recording is left."""

    def __init__(self, model: str, pull_key: str) -> None:
        """Say what there is to do.

        Args:
            model: What would be pulled.
            pull_key: The key for it, as it is shown.
        """
        text = Content.assemble(
            ("You are watching a recording: ", "bold $accent"),
            "nothing has been measured here yet.\n",
            (pull_key, "bold $accent"),
            f" fetches {fmt.printable(model)} to measure here · ",
            ("esc", "bold $accent"),
            " leaves",
        )
        super().__init__(text, id="offer")
