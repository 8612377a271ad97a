import pytest
from textual.widgets import TextArea

from tests.ui.scripted import HOLD, Program, session, start, trial, until
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import RunStarted
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.widgets.key_line import KeyLine, Shown, fitting

BOTH = ("baseline", "kv-cache")
KEYS = [Shown("a", "a", "First"), Shown("b", "b", "The second"), Shown("c", "c", "Third"), Shown("d", "d", "4th")]


def written(app):
    return app.screen.query_one(KeyLine).render().plain


def test_all_that_fit_are_two_spaces_apart_and_closer_where_it_is_tight():
    width = sum(key.width for key in KEYS)
    assert fitting(KEYS, width + 6) == (KEYS, 2)
    assert fitting(KEYS, width + 5) == (KEYS, 1)


@pytest.mark.parametrize("width", range(40))
def test_no_key_is_cut_and_the_first_ones_come_first(width):
    found, gap = fitting(KEYS, width)
    assert sum(key.width + gap for key in found) - gap <= max(width, 0) or not found
    left_out = [key for key in KEYS if key not in found]
    spare = width - sum(key.width + gap for key in found)
    assert all(key.width > spare for key in left_out)
    assert not found or found[0] is KEYS[0] or width < KEYS[0].width


async def test_while_a_prompt_is_typed_help_is_on_a_key_that_types_nothing():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await until(pilot, pilot.app.screen._facts_known.is_set)
        assert isinstance(pilot.app.focused, TextArea)
        assert "F1 Keys" in written(pilot.app)
        assert "esc Methods" in written(pilot.app)
        await pilot.press("escape")
        assert "? Keys" in written(pilot.app)
        await pilot.press("f1")
        await until(pilot, lambda: pilot.app.screen.query("HelpPanel"))


async def test_only_keys_that_do_something_are_named():
    program = Program([RunStarted(BOTH, trial_order(BOTH, 1)), *trial("baseline"), HOLD])
    async with program.app().run_test(size=(80, 24)) as pilot:
        bench = pilot.app.screen
        await until(pilot, bench._facts_known.is_set)
        assert "F5 Run" in written(pilot.app)
        assert "Stop" not in written(pilot.app)
        await start(pilot)
        await until(pilot, lambda: bench.run.n_done == 1)
        await pilot.pause()
        assert "F8 Stop" in written(pilot.app)
        assert "Run" not in written(pilot.app)
        await pilot.press("f8")
        await until(pilot, lambda: bench._live is None and bench.run.cancelled)
        assert "R go on" in bench.strip.render().plain
        assert "Resume" not in written(pilot.app)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40)])
async def test_help_and_palette_are_always_there_and_nothing_is_cut(size):
    async with Program().app().run_test(size=size) as pilot:
        screen = ReplayScreen(pilot.app.context, session(), play=False)
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.run.methods)
        line = written(pilot.app)
        assert line.rstrip().endswith("? Keys ^p Palette")
        assert len(line) <= size[0]
        assert "esc Bench" in line
        assert "Faster" not in line  # nothing plays
        await pilot.press("0")
        await pilot.pause()
        assert "+ Faster" in written(pilot.app)


async def test_a_click_presses_the_key():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await until(pilot, pilot.app.screen._facts_known.is_set)
        await pilot.pause()
        bench = pilot.app.screen
        at = written(pilot.app).index("Sessions")
        await pilot.click(KeyLine, offset=(at, 0))
        await until(pilot, lambda: pilot.app.screen is not bench)
