"""Runtimes and servers of others in the dashboard: under their own heading, and had by a key."""

from pathlib import Path

import msgspec
import pytest

from tests.ui.scripted import METHODS, Program, answering, compared, renamed, scored_session, until
from tests.ui.test_bench import ready
from tuibench.core.results.peers import HEADING
from tuibench.runtimes.environment import methods_here
from tuibench.store.side_by_side import SideBySide
from tuibench.ui.screens.compare import CompareScreen
from tuibench.ui.screens.pull import PullScreen

PEER = "llama-cpp-q8_0"
WITH_PEER = {PEER: msgspec.structs.replace(METHODS["baseline"], id=PEER, runtime="llama-cpp"), **METHODS}


@pytest.mark.parametrize("name", [PEER, "genai-int4", "openvino-int4"])
async def test_they_stand_below_the_ladder_and_a_missing_runtime_is_installed_when_its_method_is_chosen(
    name, tmp_path, monkeypatch
):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    method = methods_here()[name]
    program = Program(methods={name: method, **METHODS})
    program.missing_runtimes[method.runtime] = method.problem
    there = {name: msgspec.structs.replace(method, problem=None, explanation="here"), **METHODS}
    answers = {False: {name: method, **METHODS}, True: there}
    program.services = answering(program.services, methods=lambda: answers[not program.missing_runtimes])
    async with program.app().run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot)
        screen.ladder.choose(METHODS)
        screen.ladder.focus()
        assert [row.split()[-1] for row in screen.ladder.plain_rows[2:3]] == [HEADING.split()[-1]]
        assert screen.ladder.methods == (*METHODS, name)
        assert screen.ladder.plain_rows[-1].split() == ["□", name, *["not", "installed", "–", "press", "space"]]
        await pilot.press("end", "space")
        await until(pilot, lambda: isinstance(pilot.app.screen, PullScreen))
        assert f"{method.problem}.\n\nInstall it now?" in str(pilot.app.screen.message.content)
        await pilot.press("escape")
        assert screen.ladder.chosen == tuple(METHODS)
        await pilot.press("space", "enter")
        await until(pilot, lambda: name in screen.ladder.chosen)
        assert program.added_runtimes == [method.runtime]
        assert str(screen.focused_panel.text.note) == "here"
        await pilot.press("space")
        assert screen.ladder.chosen == tuple(METHODS)


def test_in_a_comparison_they_stand_below_the_others_however_it_is_sorted(snap_compare):
    program = Program(methods=WITH_PEER)
    found = compared(stored=renamed(scored_session(), "onnx", PEER))
    program.services = answering(program.services, compare=lambda *_: SideBySide(found))

    async def shown(pilot):
        screen = CompareScreen(pilot.app.context, [Path("first.toml")])
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: screen.table.keys)
        await pilot.press("s")
        assert [row.split()[0] for row in screen.table.plain_rows] == [
            "int8-torch", "kv-cache", "baseline", HEADING.split()[0], PEER,
        ]  # fmt: skip
        await pilot.press("end")
        await until(pilot, lambda: PEER in str(screen.verdict.content).splitlines()[2])
        await pilot.press("up")
        await until(pilot, lambda: screen.table.at == 3)
        await pilot.press("b", "y")  # of a heading there is no baseline
        assert len(pilot.app.clipboard.splitlines()) == 1 + 4
        await pilot.press("slash", *PEER, "enter")
        await until(pilot, lambda: screen.table.keys == (f"0:{PEER}",))
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.table.keys) == 5)
        await pilot.press("end")
        pilot.app.clear_notifications()
        await pilot.pause()

    assert snap_compare(program.app(), terminal_size=(120, 40), run_before=shown)
