from textual.app import App
from textual.geometry import Size

from tuibench.core.state import TrialState
from tuibench.ui.describe import Stream
from tuibench.ui.widgets.latency_plot import LatencyPlot
from tuibench.ui.widgets.stream_text import StreamText


class Box(App):
    CSS = "StreamText { height: 6; width: 40; } LatencyPlot { height: 8; width: 40; }"

    def compose(self):
        yield StreamText()
        yield LatencyPlot()


def stream(pieces, n=None, tail="", key="a"):
    return Stream(key, pieces, len(pieces) if n is None else n, tail, 100, TrialState("m", 0, False, 100))


async def test_an_update_costs_what_is_new_however_much_is_shown():
    pieces = []
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        costs = []
        for _ in range(10_000):
            pieces.append(" word")
            before = text.n_examined
            text.show(stream(pieces))
            costs.append(text.n_examined - before)
        assert set(costs) == {5}
        assert len(text.shown_lines) > 1000


async def test_only_lines_that_changed_are_asked_to_repaint(monkeypatch):
    pieces = ["word "] * 200
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        asked = []
        monkeypatch.setattr(text, "refresh_lines", lambda start, count: asked.append((start, count)))
        text.show(stream(pieces, 100))
        text.show(stream(pieces, 101))
        assert asked[-1][1] <= 2
        assert asked[-1][0] >= len(text.shown_lines) - 2


async def test_only_what_belongs_to_the_snapshot_is_shown():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["one", " two", " three"], 2))
        assert text.shown_lines == ["one two"]


async def test_the_tail_comes_once():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        for _ in range(3):
            text.show(stream(["one"], tail="é"))
        assert text.shown_lines == ["oneé"]


async def test_another_stream_starts_over():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["one"]))
        text.show(stream(["two"], key="b"))
        assert text.shown_lines == ["two"]
        text.show(None)
        assert text.shown_lines == [""]


async def test_a_shorter_snapshot_of_a_rewound_replay_starts_over():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["one", " two"]))
        text.show(stream(["one", " two"], 1))
        assert text.shown_lines == ["one"]


async def test_escape_sequences_and_markup_are_only_text():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["\x1b[31mred[/]", "[bold]x"]))
        (line,) = text.shown_lines
        assert "\x1b" not in line
        assert "[/]" in line
        assert "[bold]x" in line


async def test_the_end_stays_in_view_until_the_reader_scrolls_up():
    pieces = [f"{n}\n" for n in range(200)]
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(pieces, 100))
        await pilot.pause()
        assert text.is_vertical_scroll_end
        text.show(stream(pieces, 150))
        await pilot.pause()
        assert text.scroll_offset.y == text.max_scroll_y == len(text.shown_lines) - 6
        text.scroll_to(y=3, animate=False)
        await pilot.pause()
        text.show(stream(pieces, 200))
        await pilot.pause()
        assert text.scroll_offset.y == 3


async def test_a_new_width_wraps_everything_again():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["word "] * 20))
        text.styles.width = 10
        await pilot.pause()
        assert max(map(len, text.shown_lines)) <= 10


async def test_every_row_of_the_plot_is_as_wide_as_the_plot():
    async with Box().run_test() as pilot:
        plot = pilot.app.query_one(LatencyPlot)
        state = TrialState("m", 0, False, 100)
        for n in range(100):
            state.log.at_ns.append(n * n * 1_000_000)
        shown = Stream("a", [], 0, "", 100, state)
        object.__setattr__(state, "n_gen", 100)
        object.__setattr__(shown, "n", 100)
        plot.show(shown)
        assert plot.size == Size(40, 8)
        rows = [plot.render_line(y) for y in range(8)]
        assert {row.cell_length for row in rows} == {40}
        assert "200 ms ┤" in rows[0].text
        assert "token 100" in rows[-1].text
        assert any("⠀" < char <= "⣿" for char in rows[3].text)
