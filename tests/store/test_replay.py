import asyncio
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from tests.scripted import failed, header, record
from tuibench.core.run.events import FailureKind, TokenEmitted
from tuibench.core.run.run_events import MachineDescribed, RunEnded, RunStarted, TrialEnded, TrialObserved, TrialStarted
from tuibench.core.run.state import RunState, fold
from tuibench.store.replay import Replay, shown_trials, stored_state, trial_events
from tuibench.store.schema import Session
from tuibench.store.session import load

MS = 1_000_000
SAMPLES = Path(__file__).parent / "samples"


def session(*trials):
    return Session(header=header(), trials=trials)


SLOW = record("baseline", ttft_ns=40 * MS, step_ns=(30 * MS,) * 3)
FAST = record("kv-cache", ttft_ns=20 * MS, step_ns=(5 * MS,) * 3)


async def test_methods_replay_side_by_side_in_recorded_order():
    async with aclosing(Replay(session(SLOW, FAST), speed=100).events()) as events:
        observed = [event async for event in events if isinstance(event, TrialObserved)]
    tokens = [(each.event.at_ns // MS, each.method) for each in observed if isinstance(each.event, TokenEmitted)]
    assert tokens == sorted(tokens)
    assert [method for _, method in tokens] == ["kv-cache"] * 4 + ["baseline"] * 4


async def test_a_replay_takes_as_long_as_the_recording_says():
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    async with aclosing(Replay(session(SLOW), speed=2).events()) as events:
        async for _ in events:
            pass
    assert loop.time() - started_s >= 0.130 / 2  # never faster; slower only on a busy machine


async def test_a_replay_ends_in_the_stored_state():
    stored = session(record("kv-cache", warmup=True), SLOW, FAST)
    state = RunState()
    async with aclosing(Replay(stored, speed=1000).events()) as events:
        async for event in events:
            state = fold(state, event)
    assert isinstance(event, RunEnded)
    for name, method in stored_state(stored).methods.items():
        assert state.methods[name].trial.text == method.trial.text
        assert state.methods[name].measured == method.measured


async def test_a_paused_replay_stands_still_until_it_goes_on():
    replay = Replay(session(FAST), speed=1000)
    replay.paused = True
    async with aclosing(replay.events()) as events:
        await anext(events)  # the run's start needs no time
        waiting = asyncio.create_task(anext(events))
        done, _ = await asyncio.wait([waiting], timeout=0.15)
        assert not done
        replay.paused = False
        await waiting
        assert replay.position_ns >= 0


def test_a_replay_shows_the_first_measured_trial_else_the_failure():
    crash = failed("kv-cache", FailureKind.CRASHED)
    shown = shown_trials(session(record("baseline", warmup=True), SLOW, record("baseline", index=1), crash))
    assert shown == {"baseline": SLOW, "kv-cache": crash}
    assert shown_trials(session(crash, FAST))["kv-cache"] == FAST


def test_of_a_sweep_a_replay_shows_one_shape_with_the_most_users():
    stored = load(SAMPLES / "v4-users.toml")
    assert {trial.shape.n_users for trial in shown_trials(stored).values()} == {3}
    one_user = [trial for trial in stored.trials if trial.shape.n_users == 1 or trial.method == "baseline"]
    shown = shown_trials(msgspec.structs.replace(stored, trials=tuple(one_user)))
    assert {method: trial.shape.n_users for method, trial in shown.items()} == {"baseline": 1, "kv-cache": 1}


def test_stored_state_of_a_session_that_was_cut_is_marked_as_stopped():
    assert stored_state(session(SLOW)).cancelled
    assert not stored_state(session(SLOW, FAST)).cancelled


@pytest.mark.parametrize("trials", [(), (failed("baseline", FailureKind.ERROR),)])
async def test_a_session_without_tokens_replays_to_its_end(trials):
    async with aclosing(Replay(session(*trials)).events()) as events:
        collected = [event async for event in events]
    assert isinstance(collected[-1], RunEnded)


def test_the_state_is_that_of_every_event_folded():
    trials = (
        record("kv-cache", warmup=True),
        record("kv-cache", index=0),
        record("kv-cache", index=1, load_ns=None, text="Hello, world !!"),
        failed("baseline", FailureKind.CRASHED),
    )
    session = Session(header=header(), trials=trials)
    state = fold(RunState(), RunStarted(session.header.settings.methods, session.header.settings.turns()))
    state = fold(state, MachineDescribed(session.header.machine, session.header.settings.n_threads))
    for trial in trials:
        state = fold(state, TrialStarted(trial.method, trial.index, trial.warmup, n_expected=trial.n_gen))
        for event in trial_events(trial):
            state = fold(state, TrialObserved(trial.method, event))
        state = fold(state, TrialEnded(trial))
    found = stored_state(session)
    assert {name: (method.trial, method.records) for name, method in found.methods.items()} == {
        name: (method.trial, method.records) for name, method in state.methods.items()
    }


def test_trials_beyond_the_plan_are_turns_like_any_other():
    state = stored_state(session(SLOW, FAST, record("baseline", index=1), record("kv-cache", index=1)))
    assert [method.n_planned for method in state.methods.values()] == [2, 2]
    assert state.n_turns == state.n_done == 4
    assert not state.cancelled
