"""All keys that do something now, and what they do: the screen's first, what a list or an editor brings along last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.screen import Screen
from textual.widgets import HelpPanel

from tuibench.ui.keys.active import TEXTUALS, active_keys, rare_keys, told_of
from tuibench.ui.keys.keymap import KEYS, bindings
from tuibench.ui.widgets.fact_sheet import Facts, FactSheet, Part

_OURS = {key.id for keys in KEYS.values() for key in keys}
_LISTS = {key.id for place in ("list", "rows") for key in KEYS[place]}
_APP = {key.id for key in KEYS["app"]}
_WHERE_YOU_ARE, _EVERYWHERE, _IN_LISTS, _IN_TEXT = "Where you are", "Everywhere", "In lists", "In the text"


class KeysPanel(HelpPanel):
    """Beside the screen, and scrolled by keys.

    Textual's own panel is not, and begins with what whatever has the focus brings along: how to scroll a table.
    """

    BINDINGS = bindings("help")

    sheet = query_one(FactSheet)
    column = query_one(VerticalScroll)

    def compose(self) -> ComposeResult:
        """Lay out one scrolling column."""
        with VerticalScroll():
            yield FactSheet(names="$accent", one_line=True)

    def on_mount(self) -> None:
        """Tell of where the focus is, then take it; tell anew of whatever gets it."""
        self._focused_before = self.screen.focused
        self._write(self.screen)
        self.screen.bindings_updated_signal.subscribe(self, self._write)
        self.column.focus()

    def _write(self, screen: Screen[object]) -> None:
        if screen.focused is not self.column:  # its own keys are known
            self.sheet.show(self._sections(active_keys(screen)))

    async def action_close(self) -> None:
        """Close, and give the focus back."""
        has_focus, before = self.screen.focused is self.column, self._focused_before
        await self.remove()
        if has_focus and before is not None and before.is_attached:
            before.focus()

    def _sections(self, active_bindings: Iterable[ActiveBinding]) -> Iterator[Part]:
        places: dict[str, list[ActiveBinding]] = {
            place: [] for place in (self._here, _WHERE_YOU_ARE, _EVERYWHERE, _IN_LISTS, _IN_TEXT)
        }
        rare = rare_keys(self.screen)
        for active in active_bindings:
            known = active.binding.id in _OURS or active.binding.action in TEXTUALS
            if known and not active.binding.system and active.binding.id not in rare:
                places[self._place(active)].append(active)
        told: set[str] = set()
        for title, found in places.items():
            if facts := self._facts(found, told):
                yield title, facts

    @property
    def _here(self) -> str:
        return self.screen.BINDING_GROUP_TITLE or "Here"

    def _place(self, active: ActiveBinding) -> str:
        id_ = active.binding.id
        if id_ in _LISTS or active.binding.action in ("page_up", "page_down"):
            return _IN_LISTS
        if id_ in _APP or active.node is self.app:
            return _EVERYWHERE
        if id_ not in _OURS:
            return _EVERYWHERE if active.node is self.screen else _IN_TEXT
        return self._here if active.node is self.screen else _WHERE_YOU_ARE

    def _facts(self, active_bindings: Iterable[ActiveBinding], told: set[str]) -> Facts:
        """Return one line for each thing that can be done and is not told yet, with all its keys."""
        alike: dict[str, list[ActiveBinding]] = {}
        for active in active_bindings:
            alike.setdefault(told_of(active)[1], []).append(active)
        facts = []
        for what in told.intersection(alike):
            del alike[what]
        told.update(alike)
        for actives in alike.values():
            # A key that only Macs have has another beside it.
            usual = [each.binding for each in actives if not each.binding.key.startswith("super+")]
            keys = dict.fromkeys(map(self.app.get_key_display, usual))
            label, tooltip = told_of(actives[0])
            facts.append((" ".join(keys), Content.assemble(label, (f"  {tooltip}", "$muted"))))
        return facts
