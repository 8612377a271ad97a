"""A run in which the yardstick is measured twice, in the dashboard."""

from tests.ui.scripted import Program, start, until, whole_run
from tuibench.core.run.control import control_of

CONTROL = control_of("kv-cache")


async def test_a_control_is_a_row_of_the_ladder_like_any_other():
    program = Program(whole_run(("baseline", "kv-cache", CONTROL), n_trials=3))
    async with program.app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.methods and not screen.run.running and screen._live is None)
        await pilot.pause()
        assert screen.ladder.keys == ("baseline", "kv-cache", CONTROL)
        assert CONTROL in screen.ladder.plain_rows[2]
        assert "3/3" in screen.ladder.plain_rows[2]
        screen.ladder.focus()
        screen.ladder.point(CONTROL)
        await pilot.press("d")
        await until(pilot, lambda: pilot.app.screen is not screen)
