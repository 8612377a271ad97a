"""The last line: the keys that mean something now, as many as fit whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.events import Click
from textual.widget import Widget

from tuibench.ui.keys.active import active_keys, label_of, rare_keys

if TYPE_CHECKING:
    from textual.screen import Screen

_HELP = "app.help"
_GAPS = (2, 1)
"""Spaces between two keys: fewer where otherwise not all would fit."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A key as it stands in the line."""

    key: str
    """What is pressed when it is clicked on."""
    display: str
    label: str

    @property
    def width(self) -> int:
        """Cells it takes."""
        return Content(f"{self.display} {self.label}").cell_length


def fitting(keys: Sequence[Shown], width: int) -> tuple[list[Shown], int]:
    """Return the keys that fit into a width, the first ones before all others, and the gap between them."""
    for gap in _GAPS:
        if sum(key.width + gap for key in keys) - gap <= width:
            return list(keys), gap
    gap, found, room = _GAPS[-1], [], width + _GAPS[-1]
    for key in keys:
        if key.width + gap <= room:
            found.append(key)
            room -= key.width + gap
    return found, gap


class KeyLine(Widget):
    """What Textual's own footer says, but cut nowhere; help and palette are always there, at the right end.

    The most important keys come first: those of what has the focus, then the screen's in the order of the key table.
    """

    DEFAULT_CSS = "KeyLine { dock: bottom; height: 1; }"

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)

    def _follow(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.refresh()

    def _keys(self) -> tuple[list[Shown], list[Shown]]:
        """Return the keys for the left and for the right end."""
        left: dict[str, Shown] = {}
        right: dict[str, Shown] = {}
        left_out = rare_keys(self.screen) | getattr(self.screen, "spared_keys", frozenset())
        for active in active_keys(self.screen):
            binding = active.binding
            shown = Shown(binding.key, self.app.get_key_display(binding), label_of(active))
            if binding.id == _HELP or binding.key == self.app.COMMAND_PALETTE_BINDING:
                right.setdefault(binding.action, shown)
            elif binding.show and active.enabled and binding.id not in left_out:
                left.setdefault(binding.action, shown)
        return list(left.values()), list(right.values())

    def _laid_out(self) -> list[tuple[int, Shown]]:
        """Return each key with the column it begins in."""
        left, right = self._keys()
        at = self.size.width - sum(key.width + 1 for key in right)
        placed = []
        for key in right:
            placed.append((at, key))
            at += key.width + 1
        room = self.size.width - sum(key.width + 1 for key in right) - 2
        keys, gap = fitting(left, room)
        at = 1
        for number, key in enumerate(keys):
            placed.insert(number, (at, key))
            at += key.width + gap
        return placed

    def render(self) -> Content:
        """Write the line."""
        line, width = Content(), 0
        for at, key in self._laid_out():
            line = line.append(" " * (at - width)).append(
                Content.assemble((key.display, "$footer-key-foreground"), f" {key.label}")
            )
            width = at + key.width
        return line

    def on_click(self, event: Click) -> None:
        """Press the key that was clicked on."""
        for at, key in self._laid_out():
            if at <= event.x < at + key.width:
                self.app.simulate_key(key.key)
