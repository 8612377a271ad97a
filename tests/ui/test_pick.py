"""A search from the dashboard: the limits, what is measured for them, and its answer."""

import pytest
from textual.widgets import Input, Static

from tests.ui.scripted import KLD, Program, scored, until, whole_run
from tests.ui.test_bench import ended, ready
from tests.ui.test_snapshots import METHODS_OF_FOUR
from tuibench.core.run.limits import Limits
from tuibench.core.run.run_events import QualityEnded, RunEnded
from tuibench.core.run.spec import DEFAULT_PROMPT
from tuibench.ui.screens.details import DetailsScreen
from tuibench.ui.screens.pick import PickScreen
from tuibench.ui.text.limits import PRESETS, parse, preset_of, texts

SEARCHED = [
    *whole_run(tuple(METHODS_OF_FOUR), n_trials=12)[:-1],
    *(QualityEnded(scored(name)) for name in KLD),
    RunEnded(),
]


async def test_a_search_takes_two_keys_and_its_answer_stands_in_the_strip():
    program = Program(SEARCHED, methods=METHODS_OF_FOUR)
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        screen.ladder.focus()
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("enter")
        await until(pilot, lambda: program.specs)
        (spec,) = program.specs
        assert spec.limits == Limits(max_kld=0.05)
        assert (spec.methods, spec.prompt) == (tuple(METHODS_OF_FOUR), DEFAULT_PROMPT)
        assert (spec.n_trials, spec.max_new_tokens, spec.eval_text is not None) == (1, 32, True)
        screen = await ended(pilot)
        said = screen.strip.result.sentence.plain
        assert said.startswith("Take int8-torch: the fastest with KLD ≤ 0.05: ")
        assert screen.strip.result.leader == "int8-torch"


async def test_after_a_search_each_other_method_says_why_it_fell_out():
    program = Program(SEARCHED, methods=METHODS_OF_FOUR)
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        screen.ladder.focus()
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("enter")
        await until(pilot, lambda: program.specs)
        screen = await ended(pilot)
        whys = screen.strip.result.whys
        assert set(whys) == set(METHODS_OF_FOUR) - {"int8-torch"}
        height = screen.strip.size.height
        assert "why each other method is not the answer" in screen.strip.render().plain
        await pilot.press("k")
        name = screen.ladder.pointed
        assert f"{name}: {whys[name]}" in screen.strip.render().plain.splitlines()
        assert screen.strip.size.height == height
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailsScreen))
        await pilot.pause()
        told = " ".join(str(pilot.app.screen.sheet.render()).split())
        assert f"Why it is not the answer {whys[name]}" in told


async def test_limits_are_checked_while_they_are_typed():
    async with Program(methods=METHODS_OF_FOUR).app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        screen.ladder.focus()
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        form = pilot.app.screen
        said = form.query_one("#problem", Static)
        form.query_one("#memory", Input).value = "much"
        await until(pilot, lambda: "much is not a number" in str(said.content))
        await pilot.press("enter")
        assert pilot.app.screen is form
        form.query_one("#memory", Input).value = "600"
        await until(pilot, lambda: "peak RSS ≤ 600 MB" in str(said.content))
        assert form.query_one("#preset").value == "small"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_their_fields_say(name):
    assert preset_of(parse(texts(PRESETS[name]))) == name
