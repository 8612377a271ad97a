"""An application as it is on this terminal: what is written, by which driver, in which glyphs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import App
from textual.binding import Binding
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.screen import Screen

from tuibench.config import GlyphsWanted
from tuibench.ui.look.glyphs import GlyphFilter, detect_glyphs
from tuibench.ui.terminal.painting import Painted
from tuibench.ui.terminal.teardown import is_teardown_error
from tuibench.ui.terminal.terminal_driver import TerminalDriver
from tuibench.ui.terminal.textual_leak_fixes import release_removed_widgets

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.filter import LineFilter


class TerminalApp(App[int]):
    """Writes sparingly, only what the terminal can draw, and outlives a terminal that is lost."""

    def __init__(self, *, glyphs: GlyphsWanted) -> None:
        """Prepare for a terminal.

        Args:
            glyphs: As in the configuration; `auto` asks the environment.
        """
        # Before all else: the first thing that is painted is filtered, too.
        self._glyph_filter = GlyphFilter(detect_glyphs(os.environ) if glyphs == "auto" else glyphs)
        self._painted = Painted()
        self._painted_screen: Screen[object] | None = None
        release_removed_widgets()
        super().__init__()
        self.animation_level = "none"

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Paint only what the terminal does not show already; another screen is painted whole."""
        if screen is not self._painted_screen:
            self._painted.forget()
            self._painted_screen = screen
        super()._display(screen, self._painted.update(renderable))  # type: ignore[arg-type] # Textual's own parts, too

    @on(Driver.SignalResume)
    @on(Resize)
    def paint_all(self) -> None:
        """Rely on nothing painted before: this program was stopped, or has another terminal (perhaps of this size)."""
        self._painted.forget()
        if self.screen_stack:
            self.screen.refresh()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Exchange what the terminal cannot draw, last of all."""
        filters = super().get_line_filters()
        return [*filters, self._glyph_filter] if self._glyph_filter.enabled else filters

    def get_driver_class(self) -> type[Driver]:
        """Use our own driver, unless the environment names one, or asks for Textual's (`TUIBENCH_STOCK_DRIVER=1`)."""
        usual = super().get_driver_class()
        stock = os.environ.get("TUIBENCH_STOCK_DRIVER") == "1"
        return TerminalDriver if usual is LinuxDriver and not stock else usual

    def get_key_display(self, binding: Binding) -> str:
        """Write function keys as they are printed on the keyboard."""
        shown = super().get_key_display(binding)
        return shown.upper() if shown.startswith("f") and shown[1:].isdigit() else shown

    def styled(self, screen: Screen[None]) -> Screen[None]:
        """Take a new screen for styled, which it is when it is mounted.

        Textual would parse all style sheets anew for it, twice, and lay out the screen that goes: 0.2 s. Its version is
        pinned.
        """
        screen._css_update_count = self._css_update_count  # noqa: SLF001 - there is no public place for this
        return screen

    def _handle_exception(self, error: Exception) -> None:
        """End the program, unless a screen is closed that had not come to rest."""
        if not is_teardown_error(error):
            super()._handle_exception(error)

    def notify(self, message: str, **options: object) -> None:
        """Show a notice. Notices quote file names and error texts, so square brackets in them are only brackets."""
        super().notify(message, **{**options, "markup": False})  # type: ignore[arg-type]
