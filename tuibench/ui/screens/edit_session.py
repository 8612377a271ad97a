"""Name, tags and note of a stored session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from tuibench.core import format as fmt
from tuibench.store.annotations import tags_from
from tuibench.store.schema import Annotation
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.widgets.key_line import KeyLine

if TYPE_CHECKING:
    from tuibench.store.catalogue import SessionSummary


class EditSessionScreen(ModalScreen[Annotation | None]):
    """Three lines to fill in. Its result is what was changed; None when it was cancelled or nothing was."""

    BINDINGS = bindings("edit")
    AUTO_FOCUS = "#name"

    def __init__(self, session: SessionSummary) -> None:
        super().__init__()
        self._session = session

    def compose(self) -> ComposeResult:
        """Lay out the lines."""
        with Vertical(id="dialog") as box:
            box.border_title = fmt.printable(self._session.path.name)
            box.border_subtitle = "enter saves · esc cancels"
            yield Label("name")
            yield Input(fmt.printable(self._session.name), id="name", compact=True)
            yield Label("tags")
            yield Input(fmt.printable(" ".join(self._session.tags)), id="tags", compact=True, placeholder="laptop int8")
            yield Label("note")
            yield Input(
                fmt.printable(self._session.note), id="note", compact=True, placeholder="what to remember about it"
            )
        yield KeyLine()

    def _typed(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    @on(Input.Submitted)
    def action_save(self) -> None:
        """Hand over what was changed."""
        name, tags, note = self._typed("name"), tags_from(self._typed("tags")), self._typed("note")
        before = self._session
        changed = Annotation(
            name=name if name and name != before.name else None,
            tags=tags if tags != before.tags else None,
            note=note if note != before.note else None,
            written=datetime.now(UTC),
        )
        nothing = (changed.name, changed.tags, changed.note) == (None, None, None)
        self.dismiss(None if nothing else changed)

    def action_close(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)
