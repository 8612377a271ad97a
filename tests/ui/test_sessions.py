import dataclasses
from pathlib import Path

import pytest

from tests.ui.scripted import FINISHED, Program, answering, session, start, until
from tuibench import paths
from tuibench.core.run.state import MethodStatus
from tuibench.store.catalogue import SessionSummary
from tuibench.store.schema import SessionError
from tuibench.ui.screens.bench import BenchScreen
from tuibench.ui.screens.replay import ReplayScreen
from tuibench.ui.screens.sessions import SessionsScreen
from tuibench.ui.widgets.key_line import KeyLine

WHOLE = SessionSummary(Path("20260301-first.toml"), "first look", FINISHED, "SmolLM2", ("baseline", "kv-cache"), 6)
DAMAGED = SessionSummary(Path("bad.toml"), "bad", None, "", (), 0, "bad.toml: not TOML at line 3 – delete it")


def notices(app):
    return [notice.message for notice in app._notifications]


async def listed(pilot):
    await pilot.press("f3")
    screen = pilot.app.screen
    await until(pilot, lambda: screen.table.n_rows)
    await pilot.pause()
    return screen


async def opened(pilot, key):
    await listed(pilot)
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, ReplayScreen))
    await pilot.pause()
    return pilot.app.screen


def card(screen):
    return str(screen.card.content)


async def test_the_list_shows_damaged_files_with_what_is_wrong():
    async with Program(sessions=[WHOLE, DAMAGED]).app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        assert screen.table.n_rows == 2
        assert "first look" in card(screen)
        await pilot.press("down")
        await pilot.pause()
        assert DAMAGED.problem in card(screen)


async def test_the_methods_of_the_session_pointed_at_have_colours_of_their_own():
    names = [f"method-{number}" for number in range(13)]
    pairs = ((names[1], names[9]), (names[4], names[12]))
    sessions = [
        dataclasses.replace(WHOLE, path=Path(f"{pair[1]}.toml"), methods=pair, decode_tps={pair[0]: 9.0, pair[1]: 5.0})
        for pair in pairs
    ]
    async with Program(sessions=sessions).app().run_test(size=(120, 40)) as pilot:
        series = pilot.app.context.series
        series.add(names)
        screen = await listed(pilot)
        for key in ("j", "k", "j"):
            await pilot.press(key)
            await pilot.pause()
            pointed = screen.card.session.methods
            assert len({series.number(name) for name in pointed}) == 2
            styles = {str(span.style) for span in screen.card.content.spans}
            assert {series.variable(name) for name in pointed} <= styles
            assert screen.table.n_rows == 2


async def test_colours_do_not_depend_on_the_sessions_that_are_listed_first(tmp_path):
    other = dataclasses.replace(WHOLE, methods=("kv-cache", "baseline"))
    app = Program(sessions=[other]).app(open_session=tmp_path / "x.toml")
    async with app.run_test(size=(120, 40)) as pilot:
        # Until its results are shown: a screen that is left while it is mounted has lost its widgets.
        await until(pilot, lambda: isinstance(pilot.app.screen, ReplayScreen) and pilot.app.screen.run.methods)
        await pilot.pause()
        assert [pilot.app.context.series.number(name) for name in ("baseline", "kv-cache")] == [1, 2]


async def test_no_bar_beside_a_long_name_wraps():
    speeds = {"ctranslate2-int8": 40.0, "fused-int4": 135.0}
    long = dataclasses.replace(WHOLE, methods=tuple(speeds), decode_tps=speeds)
    async with Program(sessions=[long]).app().run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot)
        screen.card.describe(screen.card.session)  # as when the cursor comes back to it
        lines = screen.card.content.plain.splitlines()
        assert max(map(len, lines)) <= screen.card.content_size.width
        assert any("█" in line for line in lines)


LONG_NAME = "Beside other runtimes, at night"
WIDTHS = [(80, 24), (120, 40), (200, 60)]


@pytest.mark.parametrize("size", WIDTHS)
async def test_no_name_is_cut_while_the_list_has_blank_cells(size):
    named = [dataclasses.replace(WHOLE, path=Path("a.toml"), name=name) for name in (LONG_NAME, f"{LONG_NAME} " * 9)]
    async with Program(sessions=[WHOLE, *named]).app().run_test(size=size) as pilot:
        screen = await listed(pilot)
        for session in (named[0], named[1]):
            screen.table.show([WHOLE, session], ())
            whole, rows = session.title.strip(), screen.table.plain_rows
            room = screen.table.scrollable_content_region.width
            assert any(whole in row for row in rows) or max(map(len, rows)) == room
            assert max(map(len, rows)) <= room
            assert LONG_NAME[:24] in rows[1]


async def test_no_session_says_what_to_do():
    async with Program().app().run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: "press F5" in card(pilot.app.screen))
        await pilot.press("r")
        assert "press F5" in notices(pilot.app)[0]


async def test_f5_on_the_list_looks_again():
    program = Program(sessions=[WHOLE])
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        program.sessions.append(DAMAGED)
        await pilot.press("f5")
        await until(pilot, lambda: screen.table.n_rows == 2)


@pytest.mark.parametrize("key", ["enter", "o"])
async def test_opening_a_session_shows_all_its_results(key):
    async with Program(sessions=[WHOLE]).app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, key)
        assert [method.status for method in screen.run.methods.values()] == [MethodStatus.DONE] * 2
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, SessionsScreen)


async def test_a_file_that_cannot_be_read_is_told_and_nothing_opens():
    def load(path):
        raise SessionError(f"{path}: not TOML [line 3]")

    program = Program(sessions=[DAMAGED])
    program.services = answering(program.services, load_session=load)
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: notices(pilot.app) == ["bad.toml: not TOML [line 3]"])
        assert pilot.app.screen is screen


async def test_what_was_cut_off_a_file_is_told():
    program = Program(sessions=[WHOLE])
    cut = session(dropped=("the last trial is cut off",))
    program.services = answering(program.services, load_session=lambda _path: cut)
    async with program.app().run_test(size=(80, 24)) as pilot:
        await opened(pilot, "enter")
        assert notices(pilot.app) == ["the last trial is cut off"]


async def test_r_plays_all_methods_side_by_side():
    async with Program(sessions=[WHOLE]).app().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, "r")
        await until(pilot, lambda: all(method.trial for method in screen.run.methods.values()))
        assert all(method.running for method in screen.run.methods.values())


async def test_a_visit_after_a_run_begins_on_its_session():
    older = [dataclasses.replace(WHOLE, path=Path(f"older-{n}.toml")) for n in range(3)]
    program = Program(sessions=[*older, WHOLE])
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot)
        assert screen.table.pointed == "older-2.toml"  # all of one time: by name
        await pilot.press("f2")
        await start(pilot)
        bench = pilot.app.screen
        await until(pilot, lambda: bench.shown_session is not None)
        await pilot.press("f3")
        await until(pilot, lambda: screen.table.pointed == "20260301-first.toml")
        await pilot.press("k", "f2", "f3")
        await pilot.pause()
        assert screen.table.pointed == "older-0.toml"  # where the user was


async def test_f3_and_f2_lead_to_list_and_bench_from_whatever_lies_over_them():
    async with Program(sessions=[WHOLE]).app().run_test(size=(80, 24)) as pilot:
        opened_session = await opened(pilot, "enter")
        keys = [shown.label for shown in opened_session.query_one(KeyLine)._keys()[0]]
        assert "Sessions" in keys  # where escape leads
        assert "Race" in keys
        assert keys.count("Sessions") == 1
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(pilot.app.screen, BenchScreen))


def keys(screen):
    return [shown.label for shown in screen.query_one(KeyLine)._keys()[0]]


async def test_without_a_session_no_key_for_one_is_named():
    async with Program(sessions=[]).app().run_test(size=(200, 60)) as pilot:
        await pilot.press("f3")
        screen = pilot.app.screen
        await until(pilot, lambda: "no session" in card(screen))
        await pilot.pause()
        assert keys(screen) == ["Bench"]


async def test_while_something_is_searched_for_the_keys_are_those_of_the_search():
    async with Program(sessions=[WHOLE]).app().run_test(size=(200, 60)) as pilot:
        screen = await listed(pilot)
        assert "Search" in keys(screen)
        await pilot.press("slash", *"xyzzy")
        await until(pilot, lambda: not screen.table.n_rows)
        await pilot.pause()
        assert keys(screen) == ["List", "All", "Bench"]
        await pilot.press("enter", "o")
        await until(pilot, lambda: notices(pilot.app))
        assert notices(pilot.app) == ["nothing found – esc shows all 1"]


async def test_what_the_dialog_calls_enter_the_line_of_keys_calls_so_too():
    async with Program(sessions=[WHOLE]).app().run_test(size=(120, 40)) as pilot:
        await listed(pilot)
        await pilot.press("e")
        await until(pilot, lambda: pilot.app.screen.query("#note"))
        await pilot.pause()
        assert "⏎ Save" in pilot.app.screen.query_one(KeyLine).render().plain


async def test_on_a_session_that_ships_no_key_is_named_that_would_change_it():
    shipped = dataclasses.replace(WHOLE, path=paths.sample_sessions() / "s.toml", created=None)
    async with Program(sessions=[WHOLE, shipped]).app().run_test(size=(200, 60)) as pilot:
        screen = await listed(pilot)
        changing = {"Edit", "Resume", "Delete"}
        assert changing <= set(keys(screen))
        await pilot.press("G")
        await until(pilot, lambda: screen.table.pointed == str(shipped.path))
        await pilot.pause()
        assert not changing & set(keys(screen))
