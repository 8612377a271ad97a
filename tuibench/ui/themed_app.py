"""An application that takes its themes from files, ours and the user's, and follows what is done to them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textual import constants, on, work
from textual.events import Mount

from tuibench import paths
from tuibench.config import GlyphsWanted, save_theme
from tuibench.core import format as fmt
from tuibench.ui.look.theming import DEFAULT_THEME, THEME_OF_16_COLOURS, ThemeFolders, variable_defaults
from tuibench.ui.terminal.terminal_app import TerminalApp

_THEME_POLL_S = 2.0
"""How soon an edited theme file is seen; a look at the folders takes 0.1 ms."""


class ThemedApp(TerminalApp):
    """Applies the theme that is wanted, or what suits the terminal."""

    def __init__(self, *, theme: str | None, folders: Iterable[Path], glyphs: GlyphsWanted) -> None:
        """Load the themes and apply one.

        Args:
            theme: The one that is wanted; None for what suits the terminal.
            folders: Where theme files are; a later folder's theme replaces an earlier one of the same name.
            glyphs: As in the configuration.
        """
        super().__init__(glyphs=glyphs)
        self._theme_folders = ThemeFolders(folders)
        self._our_themes: tuple[str, ...] = ()
        self._theme_problems = self._apply_theme(theme)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give our own colours a value in themes that are not ours."""
        return variable_defaults()

    def _apply_theme(self, theme: str | None) -> tuple[str, ...]:
        """Apply the theme that is wanted, or what suits the terminal; return what is wrong, a line each."""
        problems = self._load_themes()
        few_colours = constants.COLOR_SYSTEM == "standard"
        suitable = THEME_OF_16_COLOURS if few_colours and THEME_OF_16_COLOURS in self._our_themes else DEFAULT_THEME
        wanted = theme or suitable
        if wanted not in self.available_themes:
            problems.append(f"no theme is called {wanted} – F12 shows all")
            wanted = suitable
        if wanted in self.available_themes:
            self.theme = wanted
        return tuple(problems)

    @on(Mount)
    def _follow(self) -> None:
        self.set_interval(_THEME_POLL_S, self._reload_themes)

    def _load_themes(self) -> list[str]:
        """Make the themes of the files available; return what was skipped, a line each."""
        loaded = self._theme_folders.load()
        for theme in loaded.themes:
            self.register_theme(theme)
        names = tuple(theme.name for theme in loaded.themes)
        for gone in set(self._our_themes) - set(names) - {self.theme}:
            self.unregister_theme(gone)
        self._our_themes = names
        return [f"skipped {problem}" for problem in loaded.problems]

    def _reload_themes(self) -> None:
        """Follow what is done to the theme files; a broken one leaves the colours as they are."""
        if not self._theme_folders.changed:
            return
        current = self.current_theme
        problems = self._load_themes()
        if self.current_theme != current:
            self.mutate_reactive(ThemedApp.theme)
        if problems:
            self.notify(fmt.printable("\n".join(problems)), title="Themes", severity="warning", timeout=10)

    def action_change_theme(self) -> None:
        """Let the user look at the themes and take one, now and from now on."""
        self._choose_theme()

    @work(exclusive=True, group="theme")
    async def _choose_theme(self) -> None:
        from tuibench.ui.screens.themes import ThemeScreen  # noqa: PLC0415 - when it is asked for

        if isinstance(self.screen, ThemeScreen):
            return
        taken = await self.push_screen_wait(ThemeScreen(self._our_themes))
        if taken is not None:
            try:
                save_theme(paths.config_file(), taken)
            except (OSError, ValueError) as error:
                self.notify(fmt.printable(f"{paths.config_file().name}: {error}"), title="Not saved", severity="error")
