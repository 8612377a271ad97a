"""The manual's pages in the dashboard: read by keys at the smallest size, and found by the palette."""

from textual.widgets import Markdown

from tests.ui.scripted import Program, until
from tuibench.topics import text, topics
from tuibench.ui.screens.manual import ManualScreen

NAMES = [page.name for page in topics()]


def headline(screen):
    blocks = screen.page.children
    return blocks[0].source.strip() if blocks else ""


async def test_pages_are_read_and_left_by_keys():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        bench = pilot.app.screen
        await pilot.press("escape", "H")
        screen = pilot.app.screen
        assert isinstance(screen, ManualScreen)
        assert screen.rows.keys == tuple(NAMES)
        await pilot.press("j", "enter")
        await until(pilot, lambda: headline(screen) == text("lamps").partition("\n")[0])
        assert not screen.rows.region.overlaps(screen.column.region)
        await until(pilot, lambda: screen.column.max_scroll_y > 0)
        await pilot.press("G")
        await until(pilot, lambda: screen.column.scroll_offset.y == screen.column.max_scroll_y)
        await pilot.press("right")
        await until(pilot, lambda: headline(screen) == text(NAMES[2]).partition("\n")[0])
        await until(pilot, lambda: not screen.column.scroll_offset.y)
        await pilot.press("escape")
        assert pilot.app.focused is screen.rows
        await pilot.press("escape")
        assert pilot.app.screen is bench


async def test_the_palette_finds_a_page_by_a_word_that_is_only_within_it():
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await pilot.press("ctrl+p", *"VmHWM")
        found = pilot.app.screen.query_one("CommandList")
        await until(pilot, lambda: found.option_count)
        await pilot.app.workers.wait_for_complete()
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ManualScreen))
        screen = pilot.app.screen
        await until(pilot, lambda: "VmHWM" in (screen.query_one(Markdown).source or ""))
        assert screen.rows.pointed == "numbers"
