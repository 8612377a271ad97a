import dataclasses
import itertools
import random
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Static

from tests.core.test_by_host import runs
from tests.core.test_sweep import PROMPTS, SPEEDS, half_measured, swept
from tests.measured_runs import PARENTS as MACHINE_PARENTS
from tests.ui.scripted import FOUR, KLD, PARENTS, Program, answering, compared, scored, scored_session, session, until
from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import compare
from tuibench.core.results.row import Speedup
from tuibench.core.run.limits import Limits
from tuibench.core.run.shape import Sweep
from tuibench.core.statistics.stats import Ratio
from tuibench.store.export.facts import measured_run
from tuibench.store.schema import SessionError
from tuibench.store.session import load
from tuibench.store.side_by_side import SideBySide, side_by_side
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.export import ExportScreen
from tuibench.ui.text import compare_rows, ratio_rows, row_names
from tuibench.ui.widgets.key_line import KeyLine
from tuibench.ui.widgets.ratio_bars import RatioBars
from tuibench.ui.widgets.scatter import Point, Scatter

SAMPLES = Path(__file__).parents[1] / "store" / "samples"
ACCENTS = {name: f"$series-{number}" for number, name in enumerate(FOUR, 1)}


def program(n_runs=1, warnings=()):
    made = Program()
    answer = lambda _paths, yardstick: SideBySide(compared(n_runs, yardstick), warnings)  # noqa: E731
    made.services = answering(made.services, compare=answer)
    return made


async def opened(pilot, n_runs=1):
    screen = CompareScreen(pilot.app.context, [Path("first.toml")] * n_runs)
    await pilot.app.push_screen(screen)
    await until(pilot, lambda: screen.table.keys)
    await pilot.pause()
    return screen


async def pictures_seen(pilot, screen):
    """Press the key for the next view three times; return which of the three pictures were seen together."""
    seen = set()
    for _ in range(3):
        seen.add((int(screen.bars.display), int(screen.scatter.display), int(screen.curves.display)))
        await pilot.press("v")
    return seen


def text_on_screen(app):
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def notices(app):
    return [notice.message for notice in app._notifications]


async def test_it_opens_at_the_method_that_the_verdict_is_about_and_its_bar_is_seen_where_few_fit():
    async with program().app().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        assert screen.table.pointed == "0:int8-torch"
        assert "int8-torch: 2.17× kv-cache" in str(screen.verdict.content)
        screen.bars.styles.height = screen.bars.gutter.height + 3
        await until(pilot, lambda: screen.bars.size.height == 3)
        assert [line.split()[0] for line in screen.bars.render().plain.splitlines()] == ["onnx", "int8-torch", "…"]


def test_no_short_name_would_do_for_another_row():
    found = compare(
        [dataclasses.replace(run, label=f"2026-03-0{day} 12:00") for day, run in enumerate(compared(2).runs, 1)],
        parents=PARENTS,
    )
    names = row_names.RowNames(found, found.rows)
    forms = [set(names.forms(row)) for row in found.rows]
    assert all(forms)
    assert len(set().union(*forms)) == sum(map(len, forms))


async def test_where_conditions_differ_a_small_terminal_still_shows_bars_and_the_verdict_scrolls():
    made = Program()
    answer = lambda _paths, yardstick: SideBySide(compared(2, yardstick), ("threads differ: 1 against 2",))  # noqa: E731
    made.services = answering(made.services, compare=answer)
    async with made.app().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 2)
        await pilot.press("v")
        await until(pilot, lambda: screen.bars.size.height >= 2)
        assert screen.bars.render().plain.splitlines()[0].split()[0] in FOUR
        screen.verdict.update("\n".join(map(str, range(20))))
        await until(pilot, lambda: screen.verdict.parent.max_scroll_y > 0)
        await pilot.press("shift+tab", "shift+tab", "end")
        await until(pilot, lambda: screen.verdict.parent.scroll_y == screen.verdict.parent.max_scroll_y)


async def test_the_verdict_stands_on_top_and_speaks_of_the_row_pointed_at():
    async with program().app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert "take int8-torch: fastest within KLD" in str(screen.verdict.content)
        await pilot.press("home")
        await until(pilot, lambda: "0.18× kv-cache" in str(screen.verdict.content))
        await pilot.press("end")
        await until(pilot, lambda: "first difference at token 31" in str(screen.verdict.content))


def test_of_a_search_the_verdict_is_its_answer_and_says_why_the_row_pointed_at_is_not():
    stored = session(FOUR, n_trials=12)
    run = measured_run(msgspec.structs.replace(stored, quality=tuple(map(scored, KLD))), "run")
    found = compare([dataclasses.replace(run, limits=Limits(max_kld=0.01))], parents=PARENTS)
    first, second, *_ = compare_rows.verdict(found, found.row(0, "int8-torch")).plain.splitlines()
    assert first == "take onnx: the fastest with KLD ≤ 0.01"
    assert second == "int8-torch is not the answer: KLD 0.0200, above 0.01"


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40)])
async def test_the_headline_is_the_first_line_and_bold_only_where_it_is_sure(size):
    for lamp, headline, style in (
        (Lamp.GREEN, "take int8-torch: fastest within KLD ≤ 0.05", "bold"),
        (Lamp.RED, "cannot tell: measure again, because 6 of 6 trials were badly disturbed", "$warning"),
    ):
        run = measured_run(scored_session(), "only")
        run = dataclasses.replace(
            run, trials=tuple(msgspec.structs.replace(each, lamp=lamp, validity=("x",)) for each in run.trials)
        )
        made = Program()
        found = compare([run], parents=PARENTS)
        made.services = answering(made.services, compare=lambda *_, found=found: SideBySide(found))
        async with made.app().run_test(size=size) as pilot:
            screen = await opened(pilot)
            content = screen.verdict.content
            assert content.plain.splitlines()[0] == headline
            assert [span.style for span in content.spans if (span.start, span.end) == (0, len(headline))] == [style]
            assert headline in text_on_screen(pilot.app).splitlines()[2]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_several_sessions_say_what_changed(size):
    async with program(2).app().run_test(size=size) as pilot:
        screen = await opened(pilot, 2)
        assert "run 1 → run 2" in text_on_screen(pilot.app)
        assert 0 <= screen.table.at - screen.table.scroll_offset.y < screen.table.size.height - 1
        assert "kv-cache: no difference can be told [" in text_on_screen(pilot.app)
        await pilot.press("v")
        assert not screen.query_one("#changes").display
        assert screen.bars.display


async def test_x_swaps_the_sessions_and_keeps_the_yardstick():
    made, asked = Program(), []

    def answer(paths, yardstick):
        asked.append((*(path.stem for path in paths), yardstick))
        return SideBySide(compared(len(paths), yardstick))

    made.services = answering(made.services, compare=answer)
    async with made.app().run_test(size=(120, 40)) as pilot:
        screen = CompareScreen(pilot.app.context, [Path(f"{name}.toml") for name in "abc"])
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.table.keys)
        for key in ("home", *"bxxx"):
            await pilot.press(key)
            await pilot.app.workers.wait_for_complete()
    first, based, *swapped = asked
    assert (first, based) == (("a", "b", "c", None), ("a", "b", "c", "baseline"))
    assert swapped == [("b", "c", "a", "baseline"), ("c", "a", "b", "baseline"), ("a", "b", "c", "baseline")]


async def test_a_single_session_has_nothing_to_swap():
    async with program().app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert "Swap" not in text_on_screen(pilot.app)
        await pilot.press("x")
        await pilot.app.workers.wait_for_complete()
        assert not screen.query_one("#changes").display


async def test_b_states_all_speeds_against_the_row_pointed_at():
    async with program().app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert screen.bars.border_title == "Decode speed × kv-cache"
        await pilot.press("home", "b")
        await until(pilot, lambda: screen.bars.border_title == "Decode speed × baseline")
        assert "1×" in screen.bars.render().plain.splitlines()[0]
        assert "yardstick baseline" in str(screen.table.border_subtitle)


async def test_s_sorts_and_what_is_pointed_at_stays():
    async with program().app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        assert [key.partition(":")[2] for key in screen.table.keys] == list(FOUR)
        await pilot.press("home", "s")
        assert [key.partition(":")[2] for key in screen.table.keys] == ["int8-torch", "onnx", "kv-cache", "baseline"]
        assert screen.table.pointed == "0:baseline"
        assert "decode" in str(screen.table.border_subtitle)


async def test_the_filter_narrows_down_and_escape_ends_it():
    async with program(2).app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, 2)
        assert len(screen.table.keys) == 8
        await pilot.press("slash", *"onnx")
        await until(pilot, lambda: screen.table.keys == ("0:onnx", "1:onnx"))
        line = screen.query_one(KeyLine)
        assert "esc All rows" in line.render().plain
        assert "Filter" not in line.render().plain  # a slash is a letter here
        await pilot.press("enter")
        assert screen.table.has_focus
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.table.keys) == 8)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is not screen)


async def test_a_filter_that_finds_nothing_is_no_error():
    async with program().app().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash", "z", "enter")
        await until(pilot, lambda: not screen.table.keys)
        await pilot.press("b", "s", "y", "v")
        assert screen.bars.render().plain == ""


async def test_tables_and_verdicts_are_copied():
    async with program().app().run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("y")
        lines = pilot.app.clipboard.splitlines()
        assert lines[0].startswith("method\t")
        assert len(lines) == 5
        await pilot.press("Y")
        assert pilot.app.clipboard.startswith("take int8-torch")


async def test_a_comparison_is_written_into_a_file_that_is_new(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with program().app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        for name in ("first.md", "first-2.md"):
            await pilot.press("e")
            await until(pilot, lambda: isinstance(pilot.app.screen, ExportScreen))
            await pilot.press("down", "enter")  # after the report
            await until(pilot, lambda: pilot.app.screen is screen)
            await until(pilot, (tmp_path / name).exists)
        assert "| kv-cache |" in (tmp_path / "first.md").read_text()


async def test_a_file_that_cannot_be_written_is_told():
    made = program()

    def export(*_):
        raise OSError("disk full")

    made.services = answering(made.services, export=export)
    async with made.app().run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExportScreen))
        await pilot.press("enter")
        await until(pilot, lambda: "disk full" in notices(pilot.app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_other_conditions_stay_on_the_screen(size):
    made = program(2, ("run 2 and run 1 differ: cpu [0]",))
    async with made.app().run_test(size=size) as pilot:
        screen = await opened(pilot, 2)
        assert "run 2 and run 1 differ: cpu [0]" in str(screen.doubts.query_one(Static).content)
        assert screen.doubts.region.height >= 3
        assert screen.table.scrollable_content_region.height >= 3


async def test_the_same_conditions_take_no_room():
    async with program(2).app().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, 2)
        assert not screen.doubts.display


async def test_a_session_that_cannot_be_read_is_told():
    made = Program()

    def broken(*_):
        raise SessionError("x.toml: no TOML")

    made.services = answering(made.services, compare=broken)
    async with made.app().run_test(size=(120, 40)) as pilot:
        screen = CompareScreen(pilot.app.context, [Path("x.toml")])
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: "x.toml: no TOML" in str(screen.verdict.content))


@pytest.mark.parametrize(
    ("size", "n_views"), [((80, 24), {(1, 0, 0), (0, 1, 0), (0, 0, 1)}), ((120, 40), {(1, 1, 0), (1, 0, 1)}),
                          ((200, 60), {(1, 1, 1)})]
)  # fmt: skip
async def test_v_brings_every_picture_into_view(size, n_views):
    async with program().app().run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert await pictures_seen(pilot, screen) == n_views


@pytest.mark.parametrize("width", range(20, 201, 15))
def test_a_table_is_never_wider_than_its_room(width):
    found = compared(2)
    shown = compare_rows.table(found, found.rows, width, ACCENTS, "")
    assert all(line.cell_length <= width for line in (shown.heading, *shown.lines))
    assert all(line.cell_length <= width for line in ratio_rows.bars(found, found.rows, width, ACCENTS))


def test_bars_reach_to_the_median_and_whiskers_stand_over_their_ends():
    found = compared()
    ratios = {"baseline": (5.0, 2.0, 10.0), "onnx": (5.0, None, None), "int8-torch": (9.99, 9.98, 10.0)}
    rows = [
        dataclasses.replace(found.row(0, method), against_yardstick=Speedup("kv-cache", Ratio(*ratio, 3, paired=True)))
        for method, ratio in ratios.items()
    ]
    width = len("int8-torch") + 9 + 20
    drawn = [line.plain.partition("× ")[2] for line in ratio_rows.bars(found, rows, width, ACCENTS)]
    assert drawn == ["████├█████─────────┤", "█" * 10, "█" * 20]


@pytest.mark.parametrize("labels", [("a long name of a session 1", "a long name of a session 2"), ("A", "B")])
def test_rows_of_two_sessions_are_told_apart_at_every_width(labels):
    found = compare([measured_run(scored_session(), label) for label in labels], parents=PARENTS)
    for width in range(40, 201, 20):
        lines = [line.plain for line in compare_rows.table(found, found.rows, width, ACCENTS, "").lines]
        assert len(set(lines)) == len(lines)
        names = [line.plain for line in ratio_rows.bars(found, found.rows, width, ACCENTS)]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("n_runs", [1, 2])
def test_what_tells_a_gain_is_not_lost_where_there_is_more_room(n_runs):
    found = compared(n_runs)
    shown = [_shown(found, width) for width in range(76, 217, 4)]
    heads = [table.heading.plain for table in shown]
    assert all("× kv-cache" in head and ("× first" in head) == (n_runs > 1) for head in heads)
    gain = fmt.gain(found.rows[0].against_yardstick.ratio)
    with_interval = [gain in table.lines[0].plain for table in shown]
    assert with_interval == sorted(with_interval)
    assert with_interval[-1]


@pytest.mark.parametrize("width", [76, 96, 116, 196])
@pytest.mark.parametrize(("sample", "heading"), [("v3-sweep", "peak RSS"), ("v4-users", "total decode")])
def test_parts_of_a_session_are_told_apart_by_what_they_are(sample, heading, width):
    path = SAMPLES / f"{sample}.toml"
    found = side_by_side([(path, load(path))]).comparison
    accents = dict.fromkeys((row.method for row in found.rows), "")
    table = compare_rows.table(found, found.rows, width, accents, "")
    names = {line.plain.split("  ")[0] for line in table.lines}
    assert len(names) == len(found.runs)
    assert not any("2026" in name for name in names)
    assert heading in table.heading.plain
    drawn = [line.plain.partition("  ")[0] for line in ratio_rows.bars(found, found.rows, width, accents)]
    assert len(set(drawn)) == len(drawn)


async def drawn_bars(found, rows, height):
    from textual.app import App

    class Box(App):
        CSS = f"RatioBars {{ width: 80; height: {height}; border: none; padding: 0; }}"

        def compose(self):
            yield RatioBars()

    async with Box().run_test() as pilot:
        bars = pilot.app.query_one(RatioBars)
        bars.show(found, rows, dict.fromkeys((row.method for row in rows), ""))
        await pilot.pause()
        return bars.render().plain.splitlines()


async def test_where_few_bars_fit_the_longest_stand_there_and_what_was_not_measured_does_not():
    found = swept(PROMPTS, SPEEDS)  # steep is the yardstick: flat is 8 times as fast at last, and slower at first
    unmeasured = dataclasses.replace(found.rows[0], method="nothing", n_trials=0, metrics={}, against_yardstick=None)
    *drawn, more = await drawn_bars(found, (unmeasured, *found.rows), 4)
    assert [line.split(" · ")[0] for line in drawn] == ["steep", "flat", "flat"]
    assert [line.split("×")[0].split()[-1] for line in drawn] == ["1", "2.01", "8.02"]
    assert more == "… and 6 more"
    everything = await drawn_bars(found, (unmeasured, *found.rows), 20)
    assert len(everything) == 1 + len(found.rows)
    *measured, more = await drawn_bars(found, (*found.rows, *[unmeasured] * 30), 12)
    assert len(measured) == len(found.rows)
    assert more == "… and 30 more"


def test_names_of_shapes_say_only_what_differs_and_are_cut_nowhere():
    stopped = half_measured()
    rows = compare_rows.arranged(stopped, by="")
    accents = dict.fromkeys("ab", "")
    shown = compare_rows.table(stopped, rows, 76, accents, "")
    assert shown.heading.plain.startswith("shape")
    assert [line.plain.split("  ")[0] for line in shown.lines] == ["prompt 8"] * 2 + ["prompt 16"] * 2
    assert [line.plain[:13] for line in ratio_rows.bars(stopped, rows, 50, accents)][::2] == [
        "a · prompt 8 ", "a · prompt 16",
    ]  # fmt: skip
    verdict = compare_rows.verdict(stopped, rows[0]).plain.splitlines()
    assert verdict[0].startswith("prompt 8: ")
    assert verdict[1].startswith("prompt 16: ")
    assert compare_rows.about(stopped) == "s · depth 0, 1 thread"


def test_where_words_have_no_room_a_letter_stands_for_each_axis_of_a_shape():
    sweep = Sweep(prompt_tokens=(64, 4096), depth_tokens=(0, 256), max_new_tokens=(4,), n_threads=(1, 2))
    found = swept(sweep, {"a-method-of-a-long-name": lambda _: 10.0})
    names = [
        line.plain.split("  ")[0] for line in ratio_rows.bars(found, found.rows, 60, {"a-method-of-a-long-name": ""})
    ]
    assert names[0] == "a-method-…ong-name · p64 d0 t1"
    assert names[-1] == "a-metho…g-name · p4096 d256 t2"
    assert len(set(names)) == len(found.rows)


def test_what_the_verdict_says_of_every_shape_is_told_once():
    found = swept(PROMPTS, SPEEDS)
    first, second, *_ = compare_rows.verdict(found, found.rows[0]).plain.splitlines()
    assert first == "every shape: cannot tell: measure again, because quality was not measured"
    assert not second.startswith("prompt")


def test_machines_are_called_machines():
    found = compare(runs(), parents=MACHINE_PARENTS)
    accents = dict.fromkeys((row.method for row in found.rows), "")
    assert compare_rows.table(found, found.rows, 100, accents, "").heading.plain.startswith("machine")


@pytest.mark.parametrize(("size", "n_views"), [((80, 24), {(1, 0, 0), (0, 0, 1)}), ((120, 40), {(1, 0, 1)}),
                                               ((200, 60), {(1, 0, 1)})])  # fmt: skip
async def test_without_scores_the_curves_take_the_place_of_an_empty_picture(size, n_views):
    made = Program()
    made.services = answering(made.services, compare=lambda *_: SideBySide(compared(stored=session(FOUR))))
    async with made.app().run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert await pictures_seen(pilot, screen) == n_views
        assert ("v View" in text_on_screen(pilot.app)) == (len(n_views) > 1)


def _shown(found, width):
    return compare_rows.table(found, found.rows, width, ACCENTS, "")


def test_rows_without_the_figure_that_is_sorted_by_come_last():
    rows = compare_rows.arranged(compared(), by="kld")
    assert [row.method for row in rows] == ["kv-cache", "onnx", "int8-torch", "baseline"]


@pytest.mark.parametrize("seed", range(8))
async def test_a_name_stands_nearer_to_its_own_point_than_to_any_other(seed):
    from textual.app import App

    class Box(App):
        CSS = "Scatter { width: 80; height: 8; border: none; }"

        def compose(self):
            yield Scatter()

    source = random.Random(seed)
    points = sorted(
        ((tps, 1e-4 * 1.3**step) for tps in (5.0, 30.0, 160.0) for step in source.sample(range(1, 25), 3)),
        key=lambda point: (-point[0], point[1]),
    )
    points = [Point(f"method-{n}", "", tps, kld, n % 3 == 0, False) for n, (tps, kld) in enumerate(points)]
    async with Box().run_test() as pilot:
        scatter = pilot.app.query_one(Scatter)
        scatter.show(points)
        await pilot.pause()
        rows = scatter.render().plain.splitlines()
    marks = [(y, x) for y, row in enumerate(rows) for x, char in enumerate(row) if char in "◆●"]
    assert len(marks) == len(points)
    named = 0
    for own, point in zip(marks, points, strict=True):  # both from top to bottom, from left to right
        for y, row in enumerate(rows):
            start = row.find(point.name)
            if start >= 0:
                named += 1
                ends = (start, start + len(point.name) - 1)

                def distance(mark, y=y, ends=ends):
                    return abs(mark[0] - y), max(ends[0] - mark[1], mark[1] - ends[1], 0)

                assert distance(own) < min(distance(mark) for mark in marks if mark != own)
    assert named > len(points) // 2


async def test_a_name_that_has_no_room_is_shortened_and_never_cut():
    from textual.app import App

    class Box(App):
        CSS = "Scatter { width: 60; height: 12; border: none; padding: 0; }"

        def compose(self):
            yield Scatter()

    shorter = ("fused · Beside…times", "fused")
    points = [
        Point("fused · Beside other runtimes that are here", "", 100.0, 0.05, True, True, shorter),
        Point("llama · Beside other runtimes that are here", "", 100.0, 0.06, False, False, ("llama · Be…s", "llama")),
        Point("exact · here", "", 10.0, 0.0, False, False, ("exact",)),
        Point("other · here", "", 10.0, 0.0, False, False, ("other",)),
    ]
    async with Box().run_test() as pilot:
        scatter = pilot.app.query_one(Scatter)
        scatter.show(points)
        await pilot.pause()
        drawn = scatter.render().plain
    assert "fused · Beside…times ◆●" in drawn
    assert "◆● llama" in drawn
    assert "exact · here, other · here" in drawn or "other · here, exact · here" in drawn
    assert "runtim" not in drawn


async def test_a_picture_names_every_method_it_has_room_for_and_marks_the_best():
    from textual.app import App

    class Box(App):
        CSS = "Scatter { width: 80; height: 20; }"

        def compose(self):
            yield Scatter()

    points = [
        Point("exact", "", 40.0, 0.0, True, False),
        Point("slower", "", 20.0, 0.0, False, False),
        Point("fast", "", 160.0, 0.05, True, True),
    ]
    async with Box().run_test() as pilot:
        scatter = pilot.app.query_one(Scatter)
        scatter.show(points)
        await pilot.pause()
        drawn = scatter.render().plain
        assert drawn.count("◆") == 2
        assert drawn.count("●") == 1
        assert all(point.name in drawn for point in points)
        rows = drawn.splitlines()
        heights = [next(y for y, row in enumerate(rows) if name in row) for name in ("fast", "exact", "slower")]
        assert all(above < below for above, below in itertools.pairwise(heights))
