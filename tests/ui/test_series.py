from itertools import pairwise

import msgspec
from textual.screen import Screen

from tests.ui.scripted import FOUR, METHODS, Program, compared, start, until, whole_run
from tuibench.ui.look.series import N_DISTINCT, SeriesMap
from tuibench.ui.screens.compare import CompareScreen

NAMES = [f"method-{number}" for number in range(20)]
SHOWN = (NAMES[1], NAMES[9])
KNOWN = {name: msgspec.structs.replace(METHODS["kv-cache"], id=name, parent=None) for name in NAMES}


def test_two_lines_never_look_alike():
    series = SeriesMap(NAMES)
    looks = [(series.variable(name), series.letter(name, colourless=False)) for name in NAMES]
    assert len(set(looks)) == len(NAMES)
    assert all(not letter for _, letter in looks[:N_DISTINCT])  # colours are enough as long as they last


def test_methods_that_are_shown_together_have_colours_of_their_own():
    series = SeriesMap(NAMES)
    before = {name: series.number(name) for name in NAMES}
    shown = [NAMES[1], NAMES[9], NAMES[17], NAMES[2], NAMES[1]]
    series.show_together(shown)
    assert len({series.number(name) for name in shown}) == 4
    assert not any(series.letter(name, colourless=False) for name in shown)
    assert (series.number(NAMES[1]), series.number(NAMES[2])) == (before[NAMES[1]], before[NAMES[2]])
    looks = {(series.variable(name), series.letter(name, colourless=False)) for name in NAMES}
    assert len(looks) == len(NAMES)  # still no two alike
    assert series.n_changes == 2
    series.show_together(shown)
    assert series.n_changes == 2
    series.show_together(NAMES)
    assert len({(series.variable(name), series.letter(name, colourless=False)) for name in NAMES}) == len(NAMES)


def test_more_methods_than_are_told_apart_best_still_have_colours_of_their_own():
    series = SeriesMap(NAMES)
    shown = NAMES[-11:]
    series.show_together(shown)
    assert len({series.number(name) for name in shown}) == len(shown)


def test_without_colours_every_line_has_a_letter():
    series = SeriesMap(NAMES)
    assert len({series.letter(name, colourless=True) for name in NAMES}) == len(NAMES)


async def test_a_screen_comes_back_in_the_colours_of_today():
    async with Program(whole_run(SHOWN), methods=KNOWN).app().run_test(size=(120, 40)) as pilot:
        await start(pilot)
        bench, series = pilot.app.screen, pilot.app.context.series
        await until(pilot, lambda: bench.run.methods and not bench.run.running)
        assert len({series.number(name) for name in SHOWN}) == 2
        await pilot.app.push_screen(Screen())
        series.show_together([SHOWN[0], *(name for name in NAMES if name not in SHOWN)])
        series.show_together([SHOWN[0], *NAMES[2:8], NAMES[10]])
        assert series.letter(SHOWN[1], colourless=False)
        await pilot.app.pop_screen()
        await pilot.pause()
        assert not any(series.letter(name, colourless=False) for name in SHOWN)
        bench.point(SHOWN[1])
        assert bench.focused_panel.has_class(f"series-{series.number(SHOWN[1])}")


async def test_the_same_method_of_two_sessions_has_two_lines_that_differ():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        screen = CompareScreen(pilot.app.context, [])
        pilot.app.context.series.add(FOUR)
        found = compared(2)
        screen._comparison, screen._rows = found, list(found.rows)
        curves = screen._curves(found, None)
        assert len({(curve.style, curve.letter) for curve in curves}) == len(curves) == 8
        assert all(before.label != after.label for before, after in pairwise(curves))
