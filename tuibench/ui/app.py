"""The dashboard as a whole: modes, keys, commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import SystemCommand
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widget import MountError

from tuibench import paths
from tuibench.config import Config, LoadedConfig
from tuibench.core import format as fmt
from tuibench.models.local import ModelError
from tuibench.store.schema import SessionError
from tuibench.ui.context import Context
from tuibench.ui.keys.active import active_keys, label_of, rare_keys
from tuibench.ui.keys.keymap import KEYS, bindings
from tuibench.ui.keys.remapping import remap
from tuibench.ui.look.series import SeriesMap
from tuibench.ui.messages import MethodToggled, PageWanted
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.services import Services
from tuibench.ui.sessions_app import SessionsApp

if TYPE_CHECKING:
    from textual.command import Provider
    from textual.dom import DOMNode


def _screen_commands() -> type[Provider]:
    from tuibench.ui.commands import ScreenCommands  # noqa: PLC0415 - when the palette opens

    return ScreenCommands


def _method_commands() -> type[Provider]:
    from tuibench.ui.commands import MethodCommands  # noqa: PLC0415 - when the palette opens

    return MethodCommands


def _session_commands() -> type[Provider]:
    from tuibench.ui.commands import SessionCommands  # noqa: PLC0415 - when the palette opens

    return SessionCommands


def _manual_commands() -> type[Provider]:
    from tuibench.ui.commands import ManualCommands  # noqa: PLC0415 - when the palette opens

    return ManualCommands


# What the keys of `list` do in whatever has the focus: the first action that it has.
_MOVES = {
    "down": ("cursor_down", "scroll_down"),
    "up": ("cursor_up", "scroll_up"),
    "top": ("first", "scroll_top", "scroll_home"),
    "bottom": ("last", "scroll_bottom", "scroll_end"),
    "page_down": ("page_down",),
    "page_up": ("page_up",),
}


_FOUND_EVERYWHERE = {"bench.model", "bench.settings", "bench.pick", "run.report"}


class TuibenchApp(SessionsApp):
    """Two modes, bench and sessions; an opened session lies over the mode it was opened from."""

    TITLE = "tuibench"
    CSS_PATH = ["tuibench.tcss", "run.tcss"]
    BINDINGS = [*bindings("app"), *bindings("list")]
    COMMANDS = {_screen_commands, _method_commands, _session_commands, _manual_commands}
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (100, "-wide"), (170, "-very-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (15, "-short"), (32, "-tall"), (50, "-very-tall")]

    def __init__(
        self,
        *,
        model: str,
        theme: str | None = None,
        low_bandwidth: bool = False,
        services: Services | None = None,
        theme_folders: Iterable[Path] | None = None,
        open_session: Path | None = None,
        replay_speed: float | None = None,
        config: LoadedConfig | None = None,
    ) -> None:
        loaded = config or LoadedConfig(Config())
        context = Context(services or Services(), SeriesMap(), model, low_bandwidth, config=loaded.config)
        folders = theme_folders or (paths.packaged_themes(), paths.user_themes())
        glyphs = loaded.config.glyphs
        super().__init__(context, theme=theme or loaded.config.theme, folders=folders, glyphs=glyphs)
        self._session_to_open = open_session
        self._replay_speed = replay_speed
        self.add_mode("bench", self._bench_screen)
        self.add_mode("sessions", self._sessions_screen)
        self._config_problems = (*loaded.problems, *self._use_keys(loaded.config))

    def _use_keys(self, config: Config) -> tuple[str, ...]:
        remapping = remap(config.keys)
        self.set_keymap(remapping.keymap)
        return remapping.problems

    def _bench_screen(self) -> Screen[None]:
        self._bench = BenchScreen(self.context)
        return self.styled(self._bench)

    def _sessions_screen(self) -> Screen[None]:
        from tuibench.ui.screens.sessions import SessionsScreen  # noqa: PLC0415 - not part of the first frame

        return self.styled(SessionsScreen(self.context, lambda: self.session_under_way, lambda: self.latest_session))

    async def on_mount(self) -> None:
        """Show the first screen, and what is wrong with settings and themes."""
        await self.switch_mode("bench" if self._session_to_open is None else "sessions")
        for title, problems in (("Settings", self._config_problems), ("Themes", self._theme_problems)):
            if problems:
                self.notify(fmt.printable("\n".join(problems)), title=title, severity="warning", timeout=10)
        if self._session_to_open is not None:
            self._open(self._session_to_open, play=self._replay_speed is not None)
        else:
            self._welcome()

    @work(group="welcome")
    async def _welcome(self) -> None:
        """Where nothing was measured and there is no model to measure, play the recording that ships."""
        services = self.context.services
        with suppress(ModelError):
            if await asyncio.to_thread(services.find_model, self.context.model) is not None:
                return
        sessions = await asyncio.to_thread(services.sessions, 0, 0)  # which there are is enough
        shipped = paths.sample_sessions()
        if any(session.path.parent != shipped for session in sessions) or not sessions:
            return
        from tuibench.ui.screens.replay import ReplayScreen  # noqa: PLC0415 - not part of the first frame
        from tuibench.ui.widgets.offer import Offer  # noqa: PLC0415 - once in the life of a machine

        # Whoever closes the recording before it is on the screen wants no offer, either.
        with suppress(SessionError, NoMatches, MountError):
            first = min(sessions, key=lambda each: each.path.name)  # "first look": our own methods alone
            session = await asyncio.to_thread(services.load_session, first.path)
            if self.screen is not self._bench or self._bench.prompt.text:
                return  # somebody knows already what to do
            screen = ReplayScreen(self.context, session, path=first.path, play=True)
            await self.push_screen(screen)
            await screen.query_one("#body").mount(Offer(self.context.model, "ctrl+g"), before=0)
            screen.call_after_refresh(screen.size_lanes, self.size)

    def action_pull_model(self) -> None:
        """Fetch the model."""
        self._pull_model()

    @work(exclusive=True, group="pull")
    async def _pull_model(self) -> None:
        from tuibench.ui.screens.pull import PullScreen  # noqa: PLC0415 - once in the life of a machine

        if isinstance(self.screen, PullScreen):
            return
        with suppress(ModelError):
            if await asyncio.to_thread(self.context.services.find_model, self.context.model) is not None:
                self.notify(f"{fmt.printable(self.context.model)} is here – F2, type a prompt, press F5")
                return
        if await self.push_screen_wait(PullScreen(self.context)) and self._bench is not None:
            await self._bench.look_for_model()
            self.notify("the model is here – esc, type a prompt, press F5", title="Model")

    @on(MethodToggled)
    async def toggle_method(self, event: MethodToggled) -> None:
        """Select or deselect a method in the bench's list."""
        await self.switch_mode("bench")
        for screen in self.screen_stack:
            if isinstance(screen, BenchScreen):
                screen.toggle_method(event.method)

    @on(PageWanted)
    def open_page(self, event: PageWanted) -> None:
        """Open a page of the manual."""
        self.action_read_manual(event.name)

    def action_read_manual(self, name: str | None = None) -> None:
        """Open the manual, over whatever is shown."""
        from tuibench.ui.screens.manual import ManualScreen  # noqa: PLC0415 - when it is asked for

        if not isinstance(self.screen, ManualScreen):
            self.push_screen(ManualScreen(name))
        elif name is not None:
            self.screen.read(name)

    async def action_show_mode(self, mode: str) -> None:
        """Go to the bench or to the list of sessions, from whatever lies over it, too; what runs goes on."""
        if mode == self.current_mode:
            while len(self.screen_stack) > 1:
                await self.pop_screen()
        else:
            await self.switch_mode(mode)

    async def action_move(self, where: str) -> None:
        """Move in whatever has the focus, as in vi."""
        widget = self.focused
        for name in _MOVES[where] if widget is not None else ():
            action = getattr(widget, f"action_{name}", None)
            if action is not None:
                moved = action()
                if isawaitable(moved):
                    await moved
                return

    def action_show_help_panel(self) -> None:
        """Show the keys beside the screen."""
        from tuibench.ui.widgets.keys_panel import KeysPanel  # noqa: PLC0415 - when it is asked for

        if not self.screen.query("KeysPanel"):
            self.screen.mount(KeysPanel())

    def action_hide_help_panel(self) -> None:
        """Hide the keys."""
        for panel in self.screen.query("KeysPanel"):
            self.call_later(panel.run_action, "close")

    def action_toggle_help(self) -> None:
        """Show or hide the keys of what has the focus."""
        if self.screen.query("KeysPanel"):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer everything that has a key by its name, too."""
        offered: set[str] = set()
        # What the screen itself does comes first, what would do nothing now after that.
        rare = rare_keys(screen)
        actives = sorted(active_keys(screen), key=lambda each: (each.node is not screen, each.binding.id in rare))
        for active in actives:
            binding = active.binding
            moves = (binding.id or "").startswith(("list.", "rows."))
            if binding.id and not moves and binding.id not in offered and binding.tooltip and active.enabled:
                offered.add(binding.id)  # once, whichever keys it has
                title = f"{label_of(active)} ({self.get_key_display(binding)})"
                yield SystemCommand(title, binding.tooltip, self._runner(active.node, binding.action))
        # While a text box has the focus, it takes letters; the palette is the way to what they would do.
        for binding in Binding.make_bindings(screen.BINDINGS):
            if binding.id and binding.tooltip and binding.id not in offered:
                offered.add(binding.id)
                yield SystemCommand(binding.description, binding.tooltip, self._runner(screen, binding.action))

        # What one looks for by name is found everywhere: the bench does it.
        for key in KEYS["bench"]:
            if key.id in _FOUND_EVERYWHERE - offered:
                yield SystemCommand(key.label, key.tooltip, partial(self._on_bench, key.action))
        yield SystemCommand("Redraw", "Repaint the whole screen, over what other programs wrote on it", self.paint_all)
        yield from super().get_system_commands(screen)

    async def _on_bench(self, action: str) -> None:
        await self.action_show_mode("bench")
        if self._bench is not None:
            await self.run_action(action, self._bench)

    def _runner(self, node: DOMNode, action: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            await self.run_action(action, node)

        return run


def run_dashboard(
    *,
    model: str,
    theme: str | None = None,
    mouse: bool = True,
    low_bandwidth: bool = False,
    open_session: Path | None = None,
    replay_speed: float | None = None,
    config: LoadedConfig | None = None,
) -> int:
    """Run the dashboard until the user leaves it, and return the exit code."""
    app = TuibenchApp(
        model=model,
        theme=theme,
        low_bandwidth=low_bandwidth,
        open_session=open_session,
        replay_speed=replay_speed,
        config=config,
    )
    app.run(mouse=mouse)
    return app.return_code or 0
