from itertools import pairwise

from tests.ui.scripted import FOUR, Program, compared
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.series import N_SERIES, SeriesMap

NAMES = [f"method-{number}" for number in range(20)]


def test_two_lines_never_look_alike():
    series = SeriesMap(NAMES)
    looks = [(series.variable(name), series.letter(name, colourless=False)) for name in NAMES]
    assert len(set(looks)) == len(NAMES)
    assert all(not letter for _, letter in looks[:N_SERIES])  # colours are enough as long as they last


def test_without_colours_every_line_has_a_letter():
    series = SeriesMap(NAMES)
    assert len({series.letter(name, colourless=True) for name in NAMES}) == len(NAMES)


async def test_the_same_method_of_two_sessions_has_two_lines_that_differ():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        screen = CompareScreen(pilot.app.context, [])
        pilot.app.context.series.add(FOUR)
        found = compared(2)
        screen._comparison, screen._rows = found, list(found.rows)
        curves = screen._curves(found, None)
        assert len({(curve.style, curve.letter) for curve in curves}) == len(curves) == 8
        assert all(before.label != after.label for before, after in pairwise(curves))
