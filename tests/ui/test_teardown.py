"""Screens that are closed before they have come to rest, as keys or a lost terminal may have it."""

import asyncio
from pathlib import Path

import pytest
from textual.css.query import NoMatches
from textual.widgets import Static

from tests.ui.scripted import FINISHED, METHODS, Program, answering, compared, session, until
from tuibench.measure.run.resume import Continuation
from tuibench.measure.run.resume_offer import ResumeOffer
from tuibench.store.catalogue import SessionSummary
from tuibench.store.side_by_side import SideBySide
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.details import DetailsScreen
from tuibench.ui.screens.edit_session import EditSessionScreen
from tuibench.ui.screens.export import ExportScreen
from tuibench.ui.screens.prompts import PromptsScreen
from tuibench.ui.screens.pull import PullScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.resume import ResumeScreen
from tuibench.ui.screens.sessions import SessionsScreen
from tuibench.ui.screens.themes import ThemeScreen

SUMMARY = SessionSummary(Path("first.toml"), "first", FINISHED, "SmolLM2", ("baseline", "kv-cache"), 6)


def program():
    made = Program(sessions=[SUMMARY])
    answer = lambda _paths, yardstick: SideBySide(compared(1, yardstick))  # noqa: E731
    made.services = answering(made.services, compare=answer)
    return made


def offer():
    continuation = Continuation(Path("first.toml"), 0, session(), retry_failed=False)
    return ResumeOffer(continuation, None, None, ("another machine",), None)


def stored_run(context):
    return context.services.stored_state(session())


SCREENS = {
    "bench": BenchScreen,
    "compare": lambda context: CompareScreen(context, [Path("first.toml")]),
    "details": lambda context: DetailsScreen(stored_run(context), "kv-cache", METHODS),
    "edit": lambda _context: EditSessionScreen(SUMMARY),
    "export": lambda _context: ExportScreen(),
    "prompts": PromptsScreen,
    "pull": PullScreen,
    "race": lambda context: ReplayScreen(context, session(), play=True),
    "results": lambda context: ReplayScreen(context, session()),
    "resume": lambda _context: ResumeScreen(offer(), 3),
    "sessions": lambda context: SessionsScreen(context, lambda: None),
    "themes": lambda _context: ThemeScreen(("graphite", "paper")),
}


@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_may_be_closed_at_any_moment_of_its_opening(name):
    async with program().app().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        await until(pilot, app.screen._facts_known.is_set)
        below = app.screen
        for n_steps in (0, 1, 2, 3, 4, 5, 7, 10):
            screen = SCREENS[name](app.context)
            opening = asyncio.ensure_future(pushed(app, screen))
            for _ in range(n_steps):
                await asyncio.sleep(0)
            if app.screen is screen:
                screen.dismiss()
            await opening
            await until(pilot, lambda: len(app.screen_stack) == 1)
            assert app.screen is below
        await pilot.press("f3")  # it is still there


async def pushed(app, screen):
    await app.push_screen(screen)
    if app.screen is screen:
        screen.dismiss()


@pytest.mark.parametrize("n_steps", [0, 3, 5])
async def test_the_program_may_be_left_while_a_session_opens(n_steps):
    app = program().app()
    async with app.run_test(size=(80, 24)):
        opening = asyncio.ensure_future(pushed(app, ReplayScreen(app.context, session(), play=True)))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        app.exit()
    opening.cancel()
    assert app.return_code == 0


async def test_a_part_that_is_missed_for_any_other_reason_is_an_error():
    app = program().app()
    with pytest.raises(NoMatches):  # noqa: PT012 - raised as the program ends
        async with app.run_test(size=(80, 24)) as pilot:
            app.screen.call_later(lambda: app.screen.query_one("#nowhere", Static))
            await pilot.pause()
