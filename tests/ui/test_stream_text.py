from msgspec.structs import replace
from textual.app import App

from tuibench.core.run.trial_state import TrialState
from tuibench.ui.text.describe import Stream
from tuibench.ui.widgets.latency_curves import Curve, LatencyCurves
from tuibench.ui.widgets.stream_text import StreamText


class Box(App):
    CSS = "StreamText { height: 6; width: 40; } LatencyCurves { height: 9; width: 60; }"

    def compose(self):
        yield StreamText()
        yield LatencyCurves()


def stream(pieces, n=None, tail="", key="a"):
    return Stream(key, pieces, len(pieces) if n is None else n, tail, 100, range(9999), TrialState("m", 0, False, 100))


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


async def test_the_difference_stays_marked_wherever_its_word_is_wrapped_to():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        pieces = ["word "] * 7 + ["abc", "def", "ghi", " end"]
        for n in range(1, len(pieces) + 1):
            text.show(stream(pieces, n), differs_at=8 if n > 8 else None)
        assert text.shown_lines[1].startswith("abcdefghi")
        assert text.different_text == "defghi end"
        text.styles.width = 20
        await pilot.pause()
        assert text.different_text == "defghi end"


async def test_a_difference_that_is_found_later_marks_what_is_shown_already():
    async with Box().run_test() as pilot:
        text = pilot.app.query_one(StreamText)
        text.show(stream(["one", " two", " three"]))
        text.show(stream(["one", " two", " three"]), differs_at=1)
        assert text.different_text == " two three"
        text.show(stream(["one", " two", " three"]))
        assert text.different_text == ""


def gaps(key, gap_ms, n=100):
    state = TrialState("m", 0, False, n, n_pieces=n)
    state.log.at_ns.extend(index * gap_ms * 1_000_000 for index in range(n))
    return Stream(key, [], n, "", n, range(n), state)


async def test_every_row_of_the_plot_is_as_wide_as_the_plot():
    async with Box().run_test() as pilot:
        plot = pilot.app.query_one(LatencyCurves)
        plot.show([Curve("slow", "$series-1", gaps("a", 95)), Curve("fast", "$series-2", gaps("b", 4))])
        await pilot.pause()
        rows = plot.render().plain.splitlines()
        assert len(rows) == 9
        assert all(len(row) <= 60 for row in rows)
        assert "100 ms ┤" in rows[0]
        assert "token 100" in rows[-1]
        assert rows[0].endswith(" slow")
        assert any(row.endswith(" fast") for row in rows[4:])


async def test_a_plot_takes_over_only_what_is_new(monkeypatch):
    asked = []
    step_ns = Stream.step_ns
    monkeypatch.setattr(Stream, "step_ns", lambda self, start=0: asked.append(start) or step_ns(self, start))
    async with Box().run_test() as pilot:
        plot = pilot.app.query_one(LatencyCurves)
        state = gaps("a", 10).source
        for n in (10, 20):
            so_far = replace(state, n_pieces=n)
            plot.show([Curve("a", "", Stream("a", [], n, "", 100, range(100), so_far))])
            await pilot.pause()
        assert asked[-1] == 9
