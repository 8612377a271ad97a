import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tests.ui.scripted import HOLD, Program, start, trial, until
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import RunStarted
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.terminal.painting import Painted

WIDTH, HEIGHT, CUT = 12, 2, 5
CONSOLE = Console(color_system="truecolor", force_terminal=True)
STYLES = (
    Style(color="red"),
    Style(color="blue", bold=True),
    Style(bgcolor="#102030"),
    Style(color="default", bgcolor="green", bold=True, underline=True),
    Style(color="blue", bgcolor="green", dim=True),
    Style.null(),
)


NOTHING = (frozenset(), "", "")


class Screen:
    """As much of a terminal as painting needs."""

    def __init__(self):
        self.cells = {}
        self.n_written = 0
        self.look = NOTHING

    def feed(self, output):
        x = y = 0
        for move, codes, char in re.findall(r"\x1b\[(\d+;\d+)H|\x1b\[([\d;]*)m|(.)", output):
            if move:
                y, x = (int(part) - 1 for part in move.split(";"))
            elif char:
                self.n_written += 1
                self.cells[x, y] = (char, *self.look)
                x += 1
                if ord(char) > 0x2E80:
                    self.cells[x, y] = ("", *self.look)
                    x += 1
            else:
                self.turn(codes.split(";"))
        assert self.look == NOTHING, "colours are left on"

    def turn(self, codes):
        attributes, foreground, background = self.look
        while codes:
            code = codes.pop(0)
            if code in ("38", "48"):
                rest = 4 if codes[0] == "2" else 2
                code, codes = ";".join((code, *codes[:rest])), codes[rest:]
            if code == "0":
                attributes, foreground, background = NOTHING
            elif code[0] == "3" or (len(code) == 2 and code[0] == "9"):
                foreground = "" if code == "39" else code
            elif (code[0] == "4" and len(code) > 1) or code[:2] == "10":
                background = "" if code == "49" else code
            else:
                attributes = attributes | {code}
        self.look = (attributes, foreground, background)


def strip_of(text, styles, width):
    """A strip of exactly this width, in two colours."""
    text = (text + " " * width)[:width]
    strip = Strip([Segment(text[: width // 2], STYLES[styles[0]]), Segment(text[width // 2 :], STYLES[styles[1]])])
    return strip.adjust_cell_length(width)


styles = st.integers(0, len(STYLES) - 1)
texts = st.text(st.sampled_from("ab ⣿─漢"), max_size=WIDTH)
rows = st.tuples(texts, st.tuples(styles, styles))
frames = st.lists(st.tuples(rows, rows), min_size=HEIGHT, max_size=HEIGHT)
spans = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, WIDTH))


def chops_of(frame):
    return [{0: strip_of(*left, CUT), CUT: strip_of(*right, WIDTH - CUT)} for left, right in frame]


@settings(max_examples=150, deadline=None)
@given(frames, st.lists(st.tuples(frames, st.lists(spans, max_size=3)), max_size=4))
def test_what_is_painted_is_what_was_meant(first, later):
    """Only whole lines: a span that ends inside a changed wide character has no right answer."""
    shown, meant, painted = Screen(), Screen(), Painted()
    region = Region(0, 0, WIDTH, HEIGHT)
    strips = [list(chop.values()) for chop in chops_of(first)]
    shown.feed(painted.update(LayoutUpdate(strips, region)).render_segments(CONSOLE))
    meant.feed(LayoutUpdate(strips, region).render_segments(CONSOLE).replace("\n", ""))
    assert shown.cells == meant.cells
    for frame, dirty in later:
        lines = sorted({(y, 0, WIDTH) for y, _, _ in dirty})
        chops = chops_of(frame)
        update = ChopsUpdate(chops, lines, [[CUT, WIDTH]] * HEIGHT)
        if not lines:
            update = LayoutUpdate([list(chop.values()) for chop in chops], region)
        shown.feed(painted.update(update).render_segments(CONSOLE))
        meant.feed(update.render_segments(CONSOLE).replace("\n", ""))
        assert shown.cells == meant.cells


def update_of(text, spans=((0, 0, WIDTH),)):
    strip = Strip([Segment(text.ljust(WIDTH), STYLES[0])])
    return ChopsUpdate([{0: strip}], list(spans), [[WIDTH]])


def test_what_is_shown_already_is_not_painted_again():
    painted = Painted()
    assert painted.update(update_of("same")).render_segments(CONSOLE)
    assert painted.update(update_of("same")).render_segments(CONSOLE) == ""


def test_a_changed_cell_is_all_that_is_written():
    painted, shown = Painted(), Screen()
    painted.update(update_of("12.4 tok/s")).render_segments(CONSOLE)
    shown.feed(painted.update(update_of("12.5 tok/s")).render_segments(CONSOLE))
    assert shown.cells == {(3, 0): ("5", frozenset(), "31", "")}


def test_outside_of_the_dirty_span_nothing_is_written():
    painted, shown = Painted(), Screen()
    shown.feed(painted.update(update_of("abcdefghij", [(0, 4, 6)])).render_segments(CONSOLE))
    assert {x for x, _ in shown.cells} == {4, 5}


def test_a_whole_screen_is_compared_with_what_is_shown():
    painted = Painted()
    region = Region(0, 0, WIDTH, 1)
    for text, written in (("12.4 tok/s", WIDTH), ("12.5 tok/s", 1), ("12.5 tok/s", 0)):
        shown = Screen()
        update = LayoutUpdate([[strip_of(text, (0, 0), WIDTH)]], region)
        shown.feed(painted.update(update).render_segments(CONSOLE))
        assert shown.n_written == written
    painted.forget()
    assert "12.5" in painted.update(update).render_segments(CONSOLE)


def test_a_colour_that_stays_is_written_once():
    colours = Style(color="red", bgcolor="blue"), Style(color="green", bgcolor="blue")
    strip = Strip([Segment("a", colours[0]), Segment("b", colours[1])])
    written = Painted().update(LayoutUpdate([[strip]], Region(0, 0, 2, 1))).render_segments(CONSOLE)
    assert written == "\x1b[1;1H\x1b[31;44ma\x1b[32mb\x1b[0m"


def test_after_something_unknown_all_is_painted():
    painted = Painted()
    painted.update(update_of("same")).render_segments(CONSOLE)
    assert painted.update("something of Rich's") == "something of Rich's"
    assert "same" in painted.update(update_of("same")).render_segments(CONSOLE)


@pytest.mark.parametrize("text", ["e\u0301", "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}"])
def test_joined_characters_are_painted_whole_every_time(text):
    painted = Painted()
    strip = Strip([Segment(text, STYLES[0])])
    update = ChopsUpdate([{0: strip}], [(0, 0, strip.cell_length)], [[strip.cell_length]])
    for _ in range(2):
        assert text in painted.update(update).render_segments(CONSOLE)


async def test_the_application_paints_through_it():
    both = ("baseline", "kv-cache")
    script = [RunStarted(both, trial_order(both, 1)), *trial("baseline", n_gen=9, end=False), HOLD]
    async with Program(script).app().run_test(size=(120, 40)) as pilot:
        seen = []
        update = pilot.app._painted.update
        pilot.app._painted.update = lambda renderable: seen.append(renderable) or update(renderable)
        await start(pilot)
        await until(pilot, lambda: pilot.app.screen.run.methods)
        await until(pilot, lambda: any(isinstance(renderable, ChopsUpdate) for renderable in seen))


async def test_the_screen_is_painted_whole_only_where_it_may_be_lost(monkeypatch):
    monkeypatch.setattr(BenchScreen, "_tick", lambda _: None)
    async with Program().app().run_test(size=(120, 40)) as pilot:
        await until(pilot, pilot.app.screen._facts_known.is_set)
        await pilot.pause()
        update, shown = pilot.app._painted.update, Screen()

        def render(renderable):  # a test without a terminal does not render
            if renderable is not None:
                shown.feed(update(renderable).render_segments(CONSOLE).replace("\n", ""))

        monkeypatch.setattr(pilot.app._painted, "update", render)
        everything = 120 * 40

        async def written(*, by):
            shown.n_written = 0
            await by
            await pilot.pause()
            return shown.n_written

        assert await written(by=pilot.press("f12")) >= everything
        assert await written(by=pilot.press("escape")) >= everything
        assert 0 < await written(by=pilot.press("tab")) < everything / 10
        assert 0 < await written(by=pilot.press("tab")) < everything / 10
        redraw = next(each for each in pilot.app.get_system_commands(pilot.app.screen) if each.title == "Redraw")
        redraw.callback()
        assert await written(by=pilot.pause()) == everything
        pilot.app.post_message(Resize(pilot.app.size, pilot.app.size))
        assert await written(by=pilot.pause()) == everything


async def test_only_what_a_change_touches_is_rendered(monkeypatch):
    monkeypatch.setattr(BenchScreen, "_tick", lambda _: None)  # it looks at the machine once a second
    async with Program().app().run_test(size=(120, 40)) as pilot:
        screen = pilot.app.screen
        await until(pilot, screen._facts_known.is_set)
        await pilot.pause()
        rendered = []
        render = Widget.render_lines
        monkeypatch.setattr(Widget, "render_lines", lambda self, crop: rendered.append(self) or render(self, crop))
        screen.status.state = "running"
        screen.curves.refresh()
        await until(pilot, lambda: screen.curves in rendered)
        await pilot.pause()
        assert screen.machine not in rendered
        assert screen.ladder not in rendered
