"""Which columns the live ladder has: those that its methods may fill, by what the table of results declares."""

import msgspec
import pytest

from tests.measured_runs import measured, quality, trials
from tests.ui.scripted import METHODS, Program, until
from tuibench.core.present.columns import LADDER
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.row import REFERENCE
from tuibench.ui.text.columns import fit
from tuibench.ui.text.ladder_rows import COLUMNS, Rung, hidden_columns, row

FIGURES = {column.id for column in COLUMNS} - {"state", "lamp"}
CLOSENESS = {"kld", "top1"}
GUESSES = {"acceptance_rate", "tokens_per_step"}
OF_A_PROCESS = {"peak_rss_bytes", "artifact_bytes"}

PLAIN = measured(kv_cache=10)
SCORED = measured(quality_of=[quality("int8-dynamic", 0.01)], kv_cache=10, int8_dynamic=20)
GUESSING = trials("kv-cache-lookup", 20, n_model_steps=4, n_guessed=8, n_guessed_right=4)
GUESSED = MeasuredRun("", ("kv-cache-lookup",), tuple(GUESSING))


def test_every_figure_is_a_column_of_the_result():
    assert {column.id for column in LADDER} >= FIGURES


@pytest.mark.parametrize(
    ("runs", "methods", "hidden"),
    [
        ((), [REFERENCE], CLOSENESS | GUESSES),
        ((), [], CLOSENESS | GUESSES),
        ((PLAIN,), [REFERENCE], CLOSENESS | GUESSES),
        ((SCORED,), [REFERENCE, "int8-dynamic"], GUESSES),
        ((SCORED,), ["endpoint"], GUESSES | CLOSENESS | OF_A_PROCESS),
        ((PLAIN,), ["endpoint", REFERENCE], CLOSENESS | GUESSES),
        ((GUESSED,), ["kv-cache-lookup"], CLOSENESS),
    ],
)
def test_a_column_is_hidden_where_none_of_the_methods_may_fill_it(runs, methods, hidden):
    assert hidden_columns(compare(runs, parents={}), methods) & FIGURES == hidden


@pytest.mark.parametrize("width", [80, 120, 196])
def test_a_note_has_all_cells_that_are_blank(width):
    about = msgspec.structs.replace(METHODS["kv-cache"], explanation="word " * 60)
    rung = Rung("kv-cache", about, chosen=True, state=None, compared=None, accent="")
    widths = fit(COLUMNS, width, hidden=CLOSENESS | GUESSES)
    line = row(rung, widths, width).plain
    assert len(line) == width
    assert line.endswith("…")


@pytest.mark.parametrize(("size", "n_most"), [((200, 60), 29), ((120, 40), 16), ((80, 24), 9)])
async def test_a_tall_terminal_gives_a_long_ladder_half_of_its_height(size, n_most):
    many = {f"method-{n}": msgspec.structs.replace(METHODS["kv-cache"], id=f"method-{n}") for n in range(40)}
    async with Program(methods=many).app().run_test(size=size) as pilot:
        screen = pilot.app.screen
        await until(pilot, screen._facts_known.is_set)
        await pilot.press("escape")
        await pilot.pause()
        assert screen.ladder.outer_size.height == n_most
