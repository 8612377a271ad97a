"""Which model is measured: those that are here, or whatever a path or a hub id names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tuibench.core import format as fmt
from tuibench.models.local import DEFAULT_MODEL
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.text.columns import TableColumn, heading, line
from tuibench.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tuibench.models.cache import CachedModel
    from tuibench.ui.services import Context

_SIZE, _FROM = 9, 22
_COLUMNS = (
    TableColumn("model", "model", 20, 3, left=True),
    TableColumn("size", "size", _SIZE, 2),
    TableColumn("from", "from", _FROM, 1, left=True),
)


@dataclass(frozen=True, slots=True)
class _Offer:
    name: str
    size: str
    source: str


class ModelsScreen(ModalScreen[str | None]):
    """A list that what is typed narrows down, and ends with it as it is: a folder, a GGUF file, a hub id."""

    BINDINGS = bindings("models")

    search = query_one(Input)
    rows = query_one(RowList)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._cached: list[CachedModel] = []
        self._found: list[_Offer] = []

    def compose(self) -> ComposeResult:
        """Lay out the field, the list, and what the row pointed at would do."""
        with Vertical(id="dialog", classes="prompts") as column:
            column.border_title = "Model"
            column.border_subtitle = "enter takes it · esc leaves"
            yield Input(placeholder="search, or: ./folder   file.gguf   owner/name on the hub", compact=True)
            yield RowList(id="models")
            yield Static(id="whole", markup=False)

    def on_mount(self) -> None:
        """Look what is here."""
        self._look()

    @work(exclusive=True)
    async def _look(self) -> None:
        self._cached = await asyncio.to_thread(self.context.services.cached_models)
        self._list()
        self.rows.point(self.context.model)

    @on(Input.Changed)
    def narrow_down(self, event: Input.Changed) -> None:
        """List what holds what was typed."""
        event.stop()
        self._list()
        self.rows.action_first()
        self._explain()

    def on_resize(self) -> None:
        """Cut the lines for the new width."""
        self.call_after_refresh(self._list)

    def _offers(self) -> list[_Offer]:
        typed = self.search.value.strip()
        here = [_Offer(each.name, fmt.size(each.disk_bytes), each.source) for each in self._cached]
        names = {each.name for each in here}
        known = dict.fromkeys(name for name in (self.context.model, DEFAULT_MODEL) if name not in names)
        offers = [*here, *(_Offer(name, "", _kind(name)) for name in known)]
        found = [each for each in offers if typed.casefold() in f"{each.name} {each.source}".casefold()]
        if typed and typed not in {each.name for each in found}:
            found.append(_Offer(typed, "", _kind(typed)))
        return found

    def _list(self) -> None:
        if not self.query("#whole"):  # closed since it was asked for
            return
        self._found = self._offers()
        widths = {"model": max(20, self.rows.size.width - _SIZE - _FROM - 4), "size": _SIZE, "from": _FROM}
        lines = [
            line(
                _COLUMNS,
                widths,
                {
                    "model": (fmt.printable(each.name), "$accent" if each.size else ""),
                    "size": each.size or (fmt.MISSING, "$muted"),
                    "from": (fmt.printable(each.source), "$muted"),
                },
            )
            for each in self._found
        ]
        self.rows.write(heading(_COLUMNS, widths), [each.name for each in self._found], lines)
        self._explain()

    @on(RowList.Pointed)
    def explain_pointed(self, event: RowList.Pointed) -> None:
        """Say what taking another row would do."""
        event.stop()
        self._explain()

    def _explain(self) -> None:
        pointed = self._found[self.rows.at] if self.rows.at < len(self._found) else None
        what = "on this machine" if pointed and pointed.size else "looked for here; what is missing is pulled with F5"
        self.query_one("#whole", Static).update(what if pointed else "type a folder, a GGUF file or a hub id")

    def action_up(self) -> None:
        """Go up in the list while the field has the focus."""
        self.rows.action_cursor_up()

    def action_down(self) -> None:
        """Go down in the list while the field has the focus."""
        self.rows.action_cursor_down()

    def action_take(self) -> None:
        """Take the model pointed at."""
        self.dismiss(self.rows.pointed)

    def action_close(self) -> None:
        """Leave the model as it is."""
        self.dismiss(None)


def _kind(name: str) -> str:
    """Return what a name is taken for."""
    if name.lower().endswith(".gguf"):
        return "GGUF file, converted once"
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        return "folder"
    return "hub, to be pulled" if "/" in name else "to be pulled"
