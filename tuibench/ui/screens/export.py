"""A comparison into a file: which format."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.getters import query_one
from textual.screen import ModalScreen

from tuibench.core import format as fmt
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.text.columns import TableColumn, heading, line
from tuibench.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tuibench.core.results.comparison import Comparison
    from tuibench.ui.services import Services

_COLUMNS = (TableColumn("format", "format", 10, 2, left=True), TableColumn("what", "what it is for", 50, 1, left=True))
_WIDTHS = {"format": 10, "what": 50}


class ExportScreen(ModalScreen[str | None]):
    """Gives the id of the format that was taken."""

    BINDINGS = [*bindings("export"), *bindings("list")]
    FORMATS: ClassVar[dict[str, str]] = {
        "html": "the report: one page with plots, to pass on",
        "md": "Markdown table, for an issue or a README",
        "csv": "spreadsheets",
        "json": "all figures with their intervals",
        "jsonl": "raw trials, one a line",
        "svg": "the plots",
        "png": "the plots as a picture",
        "benchstat": "for benchstat and tools that read its format",
    }

    rows = query_one(RowList)

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical(id="dialog", classes="prompts") as column:
            column.border_title = "Export into the current folder"
            column.border_subtitle = "enter writes · esc cancels"
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


async def export(app: App[int], services: Services, comparison: Comparison, stem: str) -> None:
    """Ask for a format and write the file, and say where it is; call it from a worker."""
    name = await app.push_screen_wait(ExportScreen())
    if name is None:
        return
    try:
        path = await asyncio.to_thread(services.export, comparison, name, stem)
    except (OSError, ImportError) as error:
        app.notify(fmt.printable(str(error)), title="Not written", severity="error", timeout=10)
    else:
        app.notify(f"written: {fmt.printable(str(path.absolute()))}")
