import asyncio

import pytest

from tests.ui.scripted import HOLD, ScriptedRun, trial, whole_run
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import RunStarted
from tuibench.core.run.state import Folded, RunState, fold
from tuibench.ui.feed import Feed


def folded(events):
    state = RunState()
    for event in events:
        state = fold(state, event)
    return state


async def test_the_last_state_is_published_and_equals_the_fold_of_all_events():
    script = whole_run(n_trials=2)
    published = []
    last = await Feed(ScriptedRun(script).events(), published.append, interval_s=0.25).run()
    assert last == published[-1]
    assert list(last.records) == list(folded(script).records)
    assert not last.running


async def test_a_burst_of_events_becomes_two_snapshots():
    published = []
    await Feed(ScriptedRun(whole_run(n_trials=3)).events(), published.append, interval_s=60).run()
    assert len(published) == 2


async def test_what_came_within_the_interval_is_published_when_it_is_over():
    script = [RunStarted(("kv-cache",), trial_order(("kv-cache",), 1)), *trial("kv-cache", n_gen=7, end=False), HOLD]
    run = ScriptedRun(script)
    seen = asyncio.Event()
    published = []

    def publish(state):
        published.append(state)
        if state.methods["kv-cache"].trial and state.methods["kv-cache"].trial.n_gen == 7:
            seen.set()

    task = asyncio.create_task(Feed(run.events(), publish, interval_s=0.02).run())
    await asyncio.wait_for(seen.wait(), 120)
    assert len(published) == 2
    run.go_on()
    await task


async def test_cancelling_closes_the_source_at_once():
    run = ScriptedRun([RunStarted((), ()), HOLD])
    started = asyncio.Event()
    task = asyncio.create_task(Feed(run.events(), lambda _: started.set(), interval_s=0.25).run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.closed


async def test_a_broken_source_still_shows_what_it_gave():
    async def broken():
        started = RunStarted(("kv-cache",), ())
        yield Folded(started, fold(RunState(), started))
        raise OSError("disk full")

    published = []
    with pytest.raises(OSError, match="disk full"):
        await Feed(broken(), published.append, interval_s=60).run()
    assert "kv-cache" in published[-1].methods
