"""What the screens look like. `pytest --snapshot-update` after a look at the report accepts a change."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from tests.ui.scripted import HOLD, Program, session, start, trial, until, whole_run
from tuibench.core.events import FailureKind
from tuibench.core.plan import trial_order
from tuibench.core.run_events import RunEnded, RunStarted
from tuibench.store.catalogue import SessionSummary
from tuibench.store.replay import stored_state
from tuibench.ui.screens.replay import ReplayScreen

BOTH = ("baseline", "kv-cache")
RUNNING = [
    RunStarted(BOTH, trial_order(BOTH, 3)),
    *trial("baseline"),
    *trial("kv-cache", n_gen=30, end=False),
    HOLD,
]
FAILED = [
    RunStarted(BOTH, trial_order(BOTH, 1)),
    *trial("baseline"),
    *trial("kv-cache", n_gen=5, failure=FailureKind.OUT_OF_MEMORY),
    RunEnded(),
]
SESSIONS = [
    SessionSummary(Path("20260301-first.toml"), "first look", None, "SmolLM2-135M-Instruct", BOTH, 6),
    SessionSummary(Path("bad.toml"), "bad", None, "", (), 0, "bad.toml: not TOML at line 3 – delete it"),
]
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


def still(app):
    """Take out what moves by itself: the cursor's blink, the notices that go away."""
    for prompt in app.screen.query("PromptBox"):
        prompt.cursor_blink = False
    app.clear_notifications()


async def idle(pilot):
    await until(pilot, pilot.app.screen._facts_known.is_set)
    await pilot.pause()
    still(pilot.app)
    await pilot.pause()


async def started(pilot):
    screen = pilot.app.screen
    await start(pilot)
    await until(pilot, lambda: screen.run.methods and screen.run.n_done and (screen.run.current or not screen._live))
    await pilot.pause()
    still(pilot.app)
    await pilot.pause()


@SIZES
def test_idle(snap_compare, size):
    assert snap_compare(Program().app(), terminal_size=size, run_before=idle)


@SIZES
def test_running(snap_compare, size):
    assert snap_compare(Program(RUNNING).app(), terminal_size=size, run_before=started)


@SIZES
def test_finished(snap_compare, size):
    assert snap_compare(Program(whole_run(n_trials=2)).app(), terminal_size=size, run_before=started)


@SIZES
def test_failed(snap_compare, size):
    assert snap_compare(Program(FAILED).app(), terminal_size=size, run_before=started)


def test_running_in_light(snap_compare):
    assert snap_compare(Program(RUNNING).app(theme="paper"), terminal_size=(120, 40), run_before=started)


def test_too_small(snap_compare):
    assert snap_compare(Program().app(), terminal_size=(50, 12), run_before=idle)


@SIZES
def test_sessions(snap_compare, size):
    async def listed(pilot):
        await pilot.press("f3")
        await until(pilot, lambda: pilot.app.screen.table.row_count)
        await pilot.pause()

    assert snap_compare(Program(sessions=SESSIONS).app(), terminal_size=size, run_before=listed)


class Frozen:
    """A replay that has come half way and stands there."""

    speed, paused = 1.0, True
    position_ns, duration_ns = 3_000_000_000, 7_000_000_000

    def __init__(self, stored, _speed):
        self._stored = stored

    async def events(self):
        yield RunStarted(BOTH, trial_order(BOTH, 1))
        for event in trial("baseline", n_gen=20, end=False):
            yield event
        for event in trial("kv-cache"):
            yield event
        await asyncio.Event().wait()


@SIZES
def test_replay(snap_compare, size):
    program = Program()
    program.services = dataclasses.replace(program.services, replay=Frozen, stored_state=stored_state)

    async def half_way(pilot):
        await pilot.app.push_screen(ReplayScreen(pilot.app.context, session(), play=True))
        screen = pilot.app.screen
        await until(pilot, lambda: screen.run.running and screen.run.methods["kv-cache"].records)
        screen._write_transport()
        await pilot.pause()

    assert snap_compare(program.app(), terminal_size=size, run_before=half_way)
