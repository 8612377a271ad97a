"""Before a run, the ladder says of which methods memory is short; the panel beside it says the numbers."""

import dataclasses

import msgspec
import pytest

from tests.ui.scripted import METHODS, MODEL, Program, until
from tuibench.models.memory_needs import Fit, Need
from tuibench.ui.text import memory_fit

GIB = 1 << 30
TOO_LARGE = Fit(Need(7 * GIB, mapped=GIB), 2 * GIB)
TIGHT = Fit(Need(int(1.9 * GIB)), 2 * GIB)
UNMAKEABLE = Fit(Need(GIB, prepare=3 * GIB), 2 * GIB)
ROOMY = Fit(Need(GIB), 2 * GIB)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_what_does_not_fit_and_what_is_tight_are_marked_and_the_rest_is_not(size):
    program = Program()
    program.fits = {"baseline": TOO_LARGE, "kv-cache": TIGHT}
    async with program.app().run_test(size=size) as pilot:
        screen = pilot.app.screen
        await until(pilot, lambda: screen.fits)
        await pilot.pause()
        rows = [str(screen.ladder._row(name, screen.ladder._widths())) for name in METHODS]
        assert "baseline      does not fit · PyTorch" in rows[0]
        assert "kv-cache      memory is tight · PyTorch" in rows[1]
        assert all(len(row) <= screen.ladder.scrollable_content_region.width for row in rows)
        told = str(screen.focused_panel._note_for(None, has_stream=False))
        assert "takes about 7.00 GiB of memory; 1.00 GiB of it is mapped from files and can be given back" in told


async def test_it_is_asked_anew_when_model_length_or_users_change_and_after_a_run():
    program = Program()
    async with program.app().run_test() as pilot:
        screen = pilot.app.screen
        await until(pilot, lambda: len(program.fits_asked) == 1)
        screen.settings = dataclasses.replace(
            screen.settings, prompt_tokens=(2000,), max_new_tokens=(100,), n_users=(1, 4)
        )
        screen.write_setup()
        screen.write_setup()
        await until(pilot, lambda: len(program.fits_asked) == 2)
        assert program.fits_asked[-1] == (MODEL.name, 4 * 2100)
        program.model = dataclasses.replace(MODEL, name="another")
        await screen.look_for_model()
        await until(pilot, lambda: len(program.fits_asked) == 3)
        assert program.fits_asked[-1] == ("another", 4 * 2100)
        screen.show_end()
        await until(pilot, lambda: len(program.fits_asked) == 4)


def test_nothing_is_said_of_what_fits_and_numbers_say_what_lacks():
    assert memory_fit.mark(None) == memory_fit.mark(ROOMY) == ""
    assert memory_fit.mark(UNMAKEABLE) == ("memory is tight", "$warning")
    assert memory_fit.in_words(ROOMY) == "takes about 1.00 GiB of memory; 2.00 GiB is free"
    assert memory_fit.in_words(TOO_LARGE).endswith(
        "1.00 GiB of it is mapped from files and can be given back; 2.00 GiB is free. "
        "It does not fit: 4.00 GiB more would have to be free"
    )
    assert memory_fit.in_words(UNMAKEABLE).endswith("Its files can be made where 1.00 GiB more is free")


async def test_what_a_method_takes_is_read_whole_at_80_columns_while_a_prompt_is_written():
    many = {f"method-{n}": msgspec.structs.replace(METHODS["kv-cache"], id=f"method-{n}") for n in range(20)}
    program = Program(methods=many)
    program.fits = dict.fromkeys(many, TOO_LARGE)
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = pilot.app.screen
        await until(pilot, lambda: screen.fits)
        await pilot.pause()
        assert screen.prompt.has_focus
        shown = " ".join(" ".join(strip.text.strip("│ ") for strip in screen._compositor.render_strips()).split())
        assert memory_fit.in_words(TOO_LARGE) in shown
