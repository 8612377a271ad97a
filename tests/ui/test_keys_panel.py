"""The list of all keys beside a screen."""

import pytest

from tests.ui.scripted import Program, until
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.keys_panel import KeysPanel


async def opened(pilot, key="question_mark"):
    await pilot.press(key)
    await until(pilot, lambda: pilot.app.screen.query(KeysPanel))
    await pilot.pause()
    return pilot.app.screen.query_one(KeysPanel)


async def ladder(pilot):
    await until(pilot, pilot.app.screen._facts_known.is_set)
    await pilot.press("escape")
    return pilot.app.screen.ladder


async def test_the_screens_own_keys_come_first_and_a_lists_last():
    async with Program().app().run_test(size=(200, 60)) as pilot:
        await ladder(pilot)
        text = (await opened(pilot)).sheet.render().plain
        titles = [line for line in text.splitlines() if line in {"Bench", "Where you are", "Everywhere", "In lists"}]
        assert titles == ["Bench", "Where you are", "Everywhere", "In lists"]
        first, *_ = text.splitlines()[1:]
        assert first.split() == ["F5", "^r", "Run", "Measure", "the", "chosen", "methods"]
        assert "↓ j" in text
        assert "^q" in text.partition("Everywhere")[2].partition("In lists")[0]


@pytest.mark.parametrize("key", ["escape", "question_mark", "f1"])
async def test_it_is_scrolled_by_keys_and_gives_the_focus_back(key):
    async with Program().app().run_test(size=(80, 24)) as pilot:
        focused = await ladder(pilot)
        panel = await opened(pilot)
        assert panel.column.max_scroll_y > 0
        await pilot.press("G")
        await until(pilot, lambda: panel.column.scroll_offset.y == panel.column.max_scroll_y)
        await pilot.press(key)
        await until(pilot, lambda: not pilot.app.screen.query(KeysPanel))
        await until(pilot, lambda: pilot.app.focused is focused)


async def test_it_tells_of_what_gets_the_focus():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await ladder(pilot)
        panel = await opened(pilot)
        assert "Choose" in panel.sheet.render().plain
        pilot.app.screen.prompt.focus()
        await until(pilot, lambda: "Choose" not in panel.sheet.render().plain)
        assert "Measure with this prompt" in " ".join(panel.sheet.render().plain.split())


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_each_thing_has_one_line_and_is_told_once_and_closing_leaves_everything_as_it_was(size):
    async with Program().app().run_test(size=size) as pilot:
        focused = await ladder(pilot)
        screen = pilot.app.screen
        before = {widget: widget.region for widget in screen.walk_children()}
        panel = await opened(pilot)
        keys = {line.split("  ")[0] for line in panel.sheet.render().plain.splitlines() if "  " in line}
        lines = [line for line in panel.sheet.render().plain.splitlines() if "  " in line]
        assert len(keys) == len(lines)
        assert "Details" not in panel.sheet.render().plain  # nothing is measured yet
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.focused is focused)
        assert {widget: widget.region for widget in screen.walk_children()} == before


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_it_leaves_the_line_of_keys_free_which_says_how_to_close_it(size):
    async with Program().app().run_test(size=size) as pilot:
        await ladder(pilot)
        panel = await opened(pilot)
        line = pilot.app.screen.query_one(KeyLine)
        assert panel.region.bottom == line.region.y
        assert line.render().plain.strip().startswith("esc Close")


@pytest.mark.parametrize("focus", ["ladder", "prompt"])
async def test_every_key_has_a_plain_name(focus):
    async with Program().app().run_test(size=(200, 60)) as pilot:
        await ladder(pilot)
        panel = await opened(pilot)
        getattr(pilot.app.screen, focus).focus()
        await pilot.pause()
        text = panel.sheet.render().plain
        assert [name for name in ("Besides", "Focus Next", "Page Left", "palette", "word select") if name in text] == []
        assert ("Undo" in text) is (focus == "prompt")
