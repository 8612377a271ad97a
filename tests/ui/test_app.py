from pathlib import Path

import pytest
from textual.color import Color
from textual.command import CommandPalette

from tests.ui.scripted import FINISHED, Program, start, until
from tuibench import paths
from tuibench.store.catalogue import SessionSummary
from tuibench.ui.look.theming import DEFAULT_THEME
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.sessions import SessionsScreen

SEARCH = CommandPalette._GATHER_COMMANDS_GROUP
SESSIONS = [SessionSummary(Path("20260301-first.toml"), "first look", FINISHED, "SmolLM2", ("baseline",), 6)]


def notices(app):
    return [notice.message for notice in app._notifications]


async def test_a_broken_theme_file_is_reported_by_name_and_skipped(tmp_path):
    (tmp_path / "mine.toml").write_text("dark = [oops")
    app = Program().app(theme_folders=[paths.packaged_themes(), tmp_path])
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.theme == DEFAULT_THEME
        assert notices(app)[0].startswith("skipped mine.toml: ")


async def test_an_unknown_theme_falls_back_with_a_notice():
    app = Program().app(theme="no[such]")
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.theme == DEFAULT_THEME
        assert "no theme is called no[such]" in notices(app)[0]


async def test_no_theme_at_all_still_starts(tmp_path):
    app = Program().app(theme_folders=[tmp_path])
    async with app.run_test() as pilot:
        await start(pilot)
        assert app.theme == "textual-dark"


@pytest.mark.parametrize("name", ["paper", "contrast", "dracula", "ansi-dark"])
async def test_themes_are_switched_while_results_are_shown(name):
    app = Program().app()
    async with app.run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = app.screen
        await until(pilot, lambda: screen.run.methods and screen._live is None)
        app.theme = name
        await pilot.pause()
        accent = app.theme_variables["series-1"]
        row = screen.ladder.render_line(1)
        (name,) = [segment for segment in row if "baseline" in segment.text]
        assert name.style.color == Color.parse(accent).rich_color


async def test_the_palette_offers_every_shown_key_and_selects_methods():
    app = Program().app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = app.screen
        await until(pilot, screen._facts_known.is_set)
        titles = [command.title for command in app.get_system_commands(screen)]
        for label in ("Run", "Stop", "Skip", "Clear", "Details", "Prompts", "Sessions", "Theme"):
            assert any(title.startswith(label) for title in titles), label
        await pilot.press("ctrl+p")
        await pilot.press(*"method baseline")
        await until(pilot, lambda: all(worker.is_finished for worker in app.workers if worker.group == SEARCH))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: screen.ladder.chosen == ("kv-cache",))


async def test_a_command_of_the_palette_does_what_its_key_does():
    app = Program().app()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = app.screen
        await until(pilot, screen._facts_known.is_set)
        (stop,) = [command for command in app.get_system_commands(screen) if command.title.startswith("Stop")]
        await stop.callback()
        await pilot.pause()
        assert notices(app) == ["nothing is running – F5 starts a run"]


async def test_modes_and_help_are_reached_by_keys():
    app = Program(sessions=SESSIONS).app()
    async with app.run_test(size=(120, 40)) as pilot:
        assert isinstance(app.screen, BenchScreen)
        await pilot.press("f3")
        assert isinstance(app.screen, SessionsScreen)
        await pilot.press("question_mark")
        await pilot.pause()
        assert app.screen.query("HelpPanel")
        await pilot.press("question_mark")
        await pilot.pause()
        assert not app.screen.query("HelpPanel")
        await pilot.press("f2")
        assert isinstance(app.screen, BenchScreen)


async def test_a_session_given_at_the_start_is_opened():
    app = Program().app(open_session=Path("x.toml"))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen) and app.screen.run.methods)
