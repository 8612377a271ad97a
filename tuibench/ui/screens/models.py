"""Which model is measured: those that are here, or whatever a path or a hub id names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tuibench.core import format as fmt
from tuibench.models.local import DEFAULT_MODEL
from tuibench.models.origin.sources import ModelKind, NamedModel
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.text.columns import TableColumn, heading, line
from tuibench.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tuibench.models.cache import CachedModel
    from tuibench.ui.context import Context

_SIZE, _FROM = 9, 22
"""Cells; of the last column at most, unless there are some left over."""
_COLUMNS = (
    TableColumn("model", "model", 20, 3, left=True),
    TableColumn("size", "size", _SIZE, 2),
    TableColumn("from", "from", _FROM, 1, left=True),
)


_HERE = "on this machine"
_SOURCES = {ModelKind.CACHED: "cache", ModelKind.ABSENT: "to be pulled"}
_MEANINGS = {
    ModelKind.CACHED: _HERE,
    ModelKind.FOLDER: "a model folder on this machine",
    ModelKind.GGUF: "a GGUF file on this machine – F5 converts it the first time",
    ModelKind.ABSENT: "not on this machine – F5 offers to pull it",
}


@dataclass(frozen=True, slots=True)
class _Offer:
    name: str
    size: str
    source: str
    meaning: str
    problem: bool = False


class ModelsScreen(ModalScreen[str | None]):
    """A list that typing narrows down; it ends with what was typed as it is: a folder, a GGUF file, a hub id."""

    BINDINGS = bindings("models")

    search = query_one(Input)
    rows = query_one(RowList)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._cached: list[CachedModel] = []
        self._found: list[_Offer] = []
        self._named: dict[str, NamedModel] = {}
        """What names mean that were looked up."""

    def compose(self) -> ComposeResult:
        """Lay out the field, the list, and what the row pointed at would do."""
        with Vertical(id="dialog", classes="prompts") as column:
            column.border_title = "Model"
            column.border_subtitle = "enter takes it · esc cancels"
            yield Input(placeholder="search, or: ./folder   file.gguf   owner/name on the hub", compact=True)
            yield RowList(id="models")
            yield Static(id="whole", markup=False)

    def on_mount(self) -> None:
        """Look what is here."""
        self._look()

    @work(exclusive=True)
    async def _look(self) -> None:
        services = self.context.services
        self._cached = await asyncio.to_thread(services.cached_models)
        for name in self._not_cached:
            self._named[name] = await asyncio.to_thread(services.named_model, name)
        self._list()
        self.rows.point(self.context.model)
        self._explain()

    @on(Input.Changed)
    def narrow_down(self, event: Input.Changed) -> None:
        """List what holds what was typed."""
        event.stop()
        self._list()
        self.rows.action_first()
        self._explain()
        self._look_up(self._typed)

    @work(exclusive=True, group="typed")
    async def _look_up(self, typed: str) -> None:
        """Find out what it means; a folder may lie on a slow disk."""
        if typed:
            self._named[typed] = await asyncio.to_thread(self.context.services.named_model, typed)
            self._list()

    def on_resize(self) -> None:
        """Cut the lines for the new width."""
        self.call_after_refresh(self._list)

    @property
    def _typed(self) -> str:
        return self.search.value.strip()

    @property
    def _not_cached(self) -> list[str]:
        """The names that are always offered, less those that are listed as pulled."""
        cached = {each.name for each in self._cached}
        return [name for name in dict.fromkeys((self.context.model, DEFAULT_MODEL)) if name not in cached]

    def _offers(self) -> list[_Offer]:
        typed = self._typed
        offers = [_Offer(each.name, fmt.size(each.disk_bytes), each.source, _HERE) for each in self._cached]
        offers += map(self._offer, self._not_cached)
        found = [each for each in offers if typed.casefold() in f"{each.name} {each.source}".casefold()]
        if typed and typed not in {each.name for each in found}:
            found.append(self._offer(typed))
        return found

    def _offer(self, name: str) -> _Offer:
        named = self._named.get(name)
        if named is None:
            return _Offer(name, "", "…", "looking for it …")
        size = "" if named.disk_bytes is None else fmt.size(named.disk_bytes)
        if named.problem is not None:
            return _Offer(name, size, "cannot be used", named.problem, problem=True)
        return _Offer(name, size, _SOURCES.get(named.kind, named.kind.value), _MEANINGS[named.kind])

    def _list(self) -> None:
        if not self.query("#whole"):  # closed since it was asked for
            return
        self._found = self._offers()
        n_model = max((len(fmt.printable(each.name)) for each in self._found), default=0)
        n_from = max((len(fmt.printable(each.source)) for each in self._found), default=_FROM)
        n_from = min(n_from, max(_FROM, self.rows.size.width - _SIZE - n_model - 4))
        widths = {"model": max(20, self.rows.size.width - _SIZE - n_from - 4), "size": _SIZE, "from": n_from}
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
        meaning = pointed.meaning if pointed else "type a folder, a GGUF file or a hub id"
        style = "$error" if pointed and pointed.problem else ""
        self.query_one("#whole", Static).update(Content.styled(fmt.printable(meaning), style))

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
