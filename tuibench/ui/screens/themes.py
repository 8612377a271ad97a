"""Choosing a theme by looking at it: the dashboard behind the list has the one under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tuibench.core import format as fmt
from tuibench.ui.keys.keymap import bindings
from tuibench.ui.look.series import N_SERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

_GROUNDS = ("background", "surface", "panel")
_MEANINGS = ("foreground", "muted", "accent", "primary", "success", "warning", "error")


class ThemeScreen(ModalScreen[str | None]):
    """A narrow list at the right edge. Its result is the theme that was taken; None when it was closed."""

    BINDINGS = [*bindings("themes"), *bindings("list")]

    options = query_one(OptionList)

    def __init__(self, ours: Sequence[str]) -> None:
        """Prepare the list.

        Args:
            ours: Names of the themes to show first; those of the toolkit follow.
        """
        super().__init__()
        self._ours = ours
        self._before = self.app.theme

    def compose(self) -> ComposeResult:
        """Lay out the list above a sample of the colours."""
        others = sorted(set(self.app.available_themes) - set(self._ours))
        with Vertical(id="dialog") as box:
            box.border_title = "Theme"
            box.border_subtitle = "enter takes · esc back"
            groups = [self._option(name) for name in self._ours], [self._option(name) for name in others]
            yield OptionList(*groups[0], None, *groups[1], markup=False)
            yield Static(_sample(), id="sample")

    def _option(self, name: str) -> Option:
        theme = self.app.available_themes[name]
        return Option(f"{fmt.printable(name)}{'' if theme.dark else '  · light'}", id=name)

    def on_mount(self) -> None:
        """Put the cursor on the current theme."""
        self.options.highlighted = self.options.get_option_index(self._before)

    @on(OptionList.OptionHighlighted)
    def apply_theme(self, event: OptionList.OptionHighlighted) -> None:
        """Show the theme under the cursor."""
        if event.option.id is not None and event.option.id in self.app.available_themes:
            self.app.theme = event.option.id

    @on(OptionList.OptionSelected)
    def action_take(self) -> None:
        """Keep the current theme."""
        self.dismiss(self.app.theme)

    def action_close(self) -> None:
        """Apply the old theme again."""
        self.app.theme = self._before
        self.dismiss(None)


def _sample() -> Content:
    lines = [Content.assemble((f" {ground} ", f"$foreground on ${ground}")) for ground in _GROUNDS]
    words = [Content.styled(meaning, f"${meaning}") for meaning in _MEANINGS]
    methods = [Content.styled(f"▇{number} ", f"$series-{number}") for number in range(1, N_SERIES + 1)]
    texts = [Content(" ").join(words[:3]), Content(" ").join(words[3:5]), Content(" ").join(words[5:])]
    return Content("\n").join([Content("").join(lines), *texts, Content("").join(methods)])
