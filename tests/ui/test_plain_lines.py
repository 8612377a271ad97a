"""What is drawn without Textual's detours looks as if it had taken them."""

import pytest
from textual.app import App
from textual.scrollbar import ScrollBar
from textual.widgets import Static

from tests.ui.test_stream_text import stream
from tuibench.ui.widgets.plain_lines import PartRows
from tuibench.ui.widgets.stream_text import StreamText

ROWS = (
    (("name ", "bold $primary"), ("a long text that does not fit", "$muted")),
    (("漢字", "$warning on $surface"), ("", "")),
    (),
    (("last", ""),),
)


class Board(PartRows):
    shown = ROWS

    def rows(self):
        return self.shown


class Box(App):
    CSS = """
        Board, Static { width: 20; height: 6; background: $panel; text-wrap: nowrap; text-overflow: clip; }
        StreamText { width: 30; height: 5; }
    """

    def compose(self):
        yield Board()
        yield Static()
        yield StreamText()


def cells(strips):
    """Every cell with its colours, however the strips are cut into segments."""
    return [[(char, segment.style) for segment in strip for char in segment.text] for strip in strips]


def seen(strips):
    """What can be told apart by looking: a space has no foreground."""

    def look(char, style):
        front, back = (style.bgcolor, style.color) if style.reverse else (style.color, style.bgcolor)
        return char, None if char == " " else front, back

    return [[look(char, style) for char, style in row] for row in cells(strips)]


async def test_rows_look_as_textual_draws_the_same_text():
    async with Box().run_test(size=(60, 20)) as pilot:
        board, usual = pilot.app.query_one(Board), pilot.app.query_one(Static)
        usual.update(board.render())
        await pilot.pause()
        ours = seen(board.render_lines(board.size.region))
        assert "".join(char for char, *_ in ours[0]) == "name a long text tha"
        assert ours == seen(usual.render_lines(usual.size.region))


async def test_only_rows_that_changed_are_repainted(monkeypatch):
    async with Box().run_test(size=(60, 20)) as pilot:
        board = pilot.app.query_one(Board)
        board.redraw()
        asked = []
        monkeypatch.setattr(board, "refresh", lambda *regions, **_: asked.append(regions))
        board.redraw()
        assert asked == []
        board.shown = (*ROWS[:2], (("new", ""),), ROWS[3])
        board.redraw()
        ((region,),) = asked
        assert (region.y, region.height, region.width) == (2, 1, 20)
        assert "".join(char for char, _ in cells([board.render_line(2)])[0]).strip() == "new"


@pytest.mark.parametrize("at", [0, 1, 7, 19, 1000])
async def test_the_thumb_looks_like_textuals_scrollbar(at):
    async with Box().run_test(size=(60, 20)) as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["word "] * 150))
        await pilot.pause()
        text.scroll_to(y=at, animate=False, force=True)
        await pilot.pause()
        thumb = text.vertical_scrollbar
        assert thumb.window_size
        crop = thumb.size.region
        assert seen(thumb.render_lines(crop)) == seen(ScrollBar.render_lines(thumb, crop))


async def test_nothing_is_seen_of_a_thumb_that_has_nothing_to_scroll():
    async with Box().run_test(size=(60, 20)) as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["word"]))
        await pilot.pause()
        thumb = text.vertical_scrollbar
        drawn = cells(thumb.render_lines(thumb.size.region))
        assert {char for row in drawn for char, _ in row} <= {" "}
