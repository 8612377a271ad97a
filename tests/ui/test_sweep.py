"""The screen of a sweep, on a stored one."""

import dataclasses
from pathlib import Path

import pytest
from textual.widgets import Input, Static

from tests.core.test_by_host import runs
from tests.core.test_sweep import PROMPTS, SPEEDS, half_measured, swept
from tests.measured_runs import PARENTS
from tests.ui.scripted import Program, answering, start, until
from tests.ui.test_bench import ready
from tuibench.core.present.sweep_lines import MapCell, sweep_maps
from tuibench.core.results.comparison import compare
from tuibench.core.run.shape import Sweep
from tuibench.store.side_by_side import SideBySide
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.settings import SettingsScreen
from tuibench.ui.screens.sweep import SweepScreen
from tuibench.ui.text.settings import settings_of
from tuibench.ui.text.sweep_rows import map_content, unit_of
from tuibench.ui.widgets.choice import Choice


def program():
    made = Program()
    answer = lambda _paths, _yardstick: SideBySide(swept(PROMPTS, SPEEDS))  # noqa: E731
    made.services = answering(made.services, compare=answer)
    return made


def text_on_screen(app):
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_comparing_a_sweep_opens_its_map_and_escape_leads_to_the_table(size):
    async with program().app().run_test(size=size) as pilot:
        table = CompareScreen(pilot.app.context, [Path("sweep.toml")])
        await pilot.app.push_screen(table)
        await until(pilot, lambda: isinstance(pilot.app.screen, SweepScreen))
        await pilot.pause()
        shown = text_on_screen(pilot.app)
        assert "decodes fastest, beyond it flat" in shown
        assert "Best decode speed" in shown
        assert "prompt 64" in shown
        assert "★" in shown
        assert "decode speed by tokens of prompt" in shown
        await pilot.press("v")
        await until(pilot, lambda: "Best time to the first token" in text_on_screen(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is table)
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, SweepScreen))


def test_a_map_says_its_unit_once_and_begins_with_the_best_where_not_all_methods_fit():
    names = {f"slow-{number}": lambda _: 10.0 for number in range(6)}
    (found, *_) = sweep_maps(swept(PROMPTS, {**names, **SPEEDS}))
    assert unit_of(found) == "tok/s"
    wide, narrow = (map_content([found], {}, width).plain.splitlines() for width in (120, 60))
    assert "tok/s" not in "".join((*wide, *narrow))
    assert wide[0].split() == [*names, "steep", "flat"]
    assert narrow[0].split()[:2] == ["steep", "flat"]
    assert narrow[1].split()[:4] == ["prompt", "64", "99.9", "★"]
    mixed = dataclasses.replace(found, rows=(("a", (MapCell("300 ms"), MapCell("1.03 s"))),), methods=("x", "y"))
    assert unit_of(mixed) == ""
    assert map_content([mixed], {}, 60).plain.splitlines()[1].split() == ["a", "300", "ms", "1.03", "s"]


async def test_keys_that_lead_nowhere_are_not_offered():
    async with program().app().run_test(size=(120, 40)) as pilot:
        await pilot.app.push_screen(SweepScreen(pilot.app.context, swept(PROMPTS, SPEEDS)))
        await until(pilot, lambda: "v Figure" in text_on_screen(pilot.app))
        assert "Next curves" not in text_on_screen(pilot.app)
        assert "1 of 1" not in text_on_screen(pilot.app)
        sweep = Sweep(prompt_tokens=(64, 256), max_new_tokens=(4,), n_threads=(1, 2))
        await pilot.app.push_screen(SweepScreen(pilot.app.context, swept(sweep, SPEEDS)))
        await until(pilot, lambda: "Next curves" in text_on_screen(pilot.app))


async def test_of_a_stopped_sweep_what_was_measured_fits_and_the_rest_is_counted():
    async with program().app().run_test(size=(80, 24)) as pilot:
        await pilot.app.push_screen(SweepScreen(pilot.app.context, half_measured()))
        await until(pilot, lambda: "Best decode speed, tok/s · depth 0, 1 thread" in text_on_screen(pilot.app))
        assert "6 of 8 shapes not measured" in text_on_screen(pilot.app)
        assert "2 shapes" in text_on_screen(pilot.app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_machines_have_a_map_but_no_curves_and_the_verdict_names_the_best_of_them(size):
    made = Program()
    machines = compare(runs(), parents=PARENTS)
    made.services = answering(made.services, compare=lambda _paths, _yardstick: SideBySide(machines))
    async with made.app().run_test(size=size) as pilot:
        screen = CompareScreen(pilot.app.context, [Path("machines.toml")])
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: "fastest: int8 on big: " in text_on_screen(pilot.app))
        assert "cheapest: int8 on small: " in text_on_screen(pilot.app)
        await until(pilot, lambda: "m Map" in text_on_screen(pilot.app))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, SweepScreen))
        await until(pilot, lambda: "Best decode speed" in text_on_screen(pilot.app))
        shown = text_on_screen(pilot.app)
        assert "2 machines" in shown
        assert "Which machine" in shown
        assert "by tokens of prompt" not in shown
        assert "Next curves" not in shown
        assert shown.index("Best decode speed, tok/s") < shown.index("Best time to the first token")
        await pilot.press("l", "v")
        await until(pilot, lambda: pilot.app.screen.grid.border_title.startswith("Best time to the first token"))
        assert str(pilot.app.screen.grid.query_one(Static).content).count("Best decode speed, tok/s") == 1
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)


async def test_a_load_of_the_settings_needs_no_prompt_and_is_cut_from_the_evaluation_text():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        screen.prompt.text = ""
        screen.ladder.focus()
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        pilot.app.screen.query_one("#load", Choice).focus()
        await pilot.press("space", "space", "enter")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("f5")
        await until(pilot, lambda: program.specs)
        (spec,) = program.specs
        assert spec.sweep == Sweep(prompt_tokens=(2048,), max_new_tokens=(128,), n_threads=(spec.n_threads,))
        assert (spec.prompt, spec.running_text) == ("", screen.context.services.eval_text())
        assert "rag: 2048 tokens of prompt" in str(screen.prompt.border_subtitle)


async def test_lists_of_shapes_are_checked_while_typed_and_measured_as_on_the_command_line():
    program = Program()
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        screen.prompt.text = ""
        screen.ladder.focus()
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen))
        form = pilot.app.screen
        said = form.query_one("#problem", Static)
        for name, typed in (("prompt", "64,512"), ("depth", "0-1024*2"), ("threads", "1-3"), ("tokens", "8")):
            form.query_one(f"#{name}", Input).value = typed
        await until(pilot, lambda: "3 is too large" in str(said.content))
        assert "2 CPUs usable here" in str(said.content)
        assert "never ends" in str(said.content)
        form.query_one("#depth", Input).value = "0,1024"
        form.query_one("#prompt", Input).value = ""
        form.query_one("#threads", Input).value = "1"
        form.query_one("#users", Input).value = "1,4"
        await until(pilot, lambda: "a prompt of their own" in str(said.content))
        form.query_one("#users", Input).value = "1"
        form.query_one("#prompt", Input).value = "64,512"
        form.query_one("#threads", Input).value = "1-2"
        await until(pilot, lambda: "8 shapes" in str(said.content))
        assert form.query_one("#load", Choice).value == "own"
        await pilot.press("enter", "f5")
        await until(pilot, lambda: program.specs)
        (spec,) = program.specs
        lists = {"prompt_tokens": (64, 512), "depth_tokens": (0, 1024), "max_new_tokens": (8,), "n_threads": (1, 2)}
        assert spec.sweep == Sweep(**lists)
        assert (spec.prompt, spec.max_new_tokens, spec.n_threads) == ("", 8, 2)
        assert settings_of(spec, spec.precision) == screen.settings


async def test_a_typed_prompt_is_measured_at_several_depths_and_lengths():
    program = Program()
    async with program.app().run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        screen.settings = dataclasses.replace(screen.settings, max_new_tokens=(8, 16))
        await start(pilot, "Why?")
        await until(pilot, lambda: program.specs)
        assert (program.specs[0].prompt, program.specs[0].running_text) == ("Why?", None)
        assert program.specs[0].sweep.max_new_tokens == (8, 16)
