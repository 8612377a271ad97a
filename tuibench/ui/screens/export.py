"""A comparison into a file: which format."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.getters import query_one
from textual.screen import ModalScreen

from tuibench.ui.keys.keymap import bindings
from tuibench.ui.text.columns import TableColumn, heading, line
from tuibench.ui.widgets.row_list import RowList

_COLUMNS = (TableColumn("format", "format", 10, 2, left=True), TableColumn("what", "what it is for", 50, 1, left=True))
_WIDTHS = {"format": 10, "what": 50}


class ExportScreen(ModalScreen[str | None]):
    """Gives the id of the format that was taken."""

    BINDINGS = [*bindings("export"), *bindings("list")]
    FORMATS: ClassVar[dict[str, str]] = {
        "md": "Markdown table, for an issue or a README",
        "csv": "spreadsheets",
        "json": "all figures with their intervals",
        "jsonl": "raw trials, one a line",
        "html": "one page with plots, to pass on",
        "svg": "the plots",
        "png": "the plots as a picture",
        "benchstat": "Go's benchstat and its friends",
    }

    rows = query_one(RowList)

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical(id="dialog", classes="prompts") as column:
            column.border_title = "Export into the current folder"
            column.border_subtitle = "enter writes · esc leaves"
            yield RowList(id="formats")

    def on_mount(self) -> None:
        """List the formats."""
        rows = [
            line(_COLUMNS, _WIDTHS, {"format": (name, "$accent"), "what": what}) for name, what in self.FORMATS.items()
        ]
        self.rows.write(heading(_COLUMNS, _WIDTHS), tuple(self.FORMATS), rows)
        self.rows.focus()

    def action_take(self) -> None:
        """Take the format pointed at."""
        self.dismiss(self.rows.pointed)

    def action_close(self) -> None:
        """Write nothing."""
        self.dismiss(None)
