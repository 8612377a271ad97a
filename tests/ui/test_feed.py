import asyncio

import pytest

from tests.ui.scripted import HOLD, ScriptedRun, trial, whole_run
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import RunStarted
from tuibench.core.run.state import Folded, RunState, fold
from tuibench.ui.feed import Feed, Pace


def folded(events):
    state = RunState()
    for event in events:
        state = fold(state, event)
    return state


async def test_the_last_state_is_published_and_equals_the_fold_of_all_events():
    script = whole_run(n_trials=2)
    published = []
    last = await Feed(ScriptedRun(script).events(), published.append, Pace(0.25, 2, lambda: 0.0)).run()
    assert last == published[-1]
    assert list(last.records) == list(folded(script).records)
    assert not last.running


async def test_a_burst_of_events_becomes_two_snapshots():
    published = []
    await Feed(ScriptedRun(whole_run(n_trials=3)).events(), published.append, Pace(60, 2, lambda: 0.0)).run()
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

    task = asyncio.create_task(Feed(run.events(), publish, Pace(0.02, 2, lambda: 0.0)).run())
    await asyncio.wait_for(seen.wait(), 120)
    assert len(published) == 2
    run.go_on()
    await task


async def test_cancelling_closes_the_source_at_once():
    run = ScriptedRun([RunStarted((), ()), HOLD])
    started = asyncio.Event()
    task = asyncio.create_task(Feed(run.events(), lambda _: started.set(), Pace(0.25, 2, lambda: 0.0)).run())
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
        await Feed(broken(), published.append, Pace(60, 2, lambda: 0.0)).run()
    assert "kv-cache" in published[-1].methods


def intervals(cost_s, between_s, n_snapshots=40, n_cpus=2):
    """Return the waits of a process that uses some time a snapshot, and some a second whatever it shows."""
    now_s = used_s = 0.0
    pace = Pace(0.5, n_cpus, lambda: used_s)
    found = []
    for _ in range(n_snapshots):
        pace.published(now_s)
        found.append(pace.interval_s)
        now_s += pace.interval_s
        used_s += cost_s + between_s * pace.interval_s
    return found


def test_snapshots_come_as_often_as_wanted_where_they_are_cheap():
    assert set(intervals(cost_s=0.004, between_s=0.01)) == {0.5}


@pytest.mark.parametrize("n_cpus", [1, 2, 16])
def test_snapshots_that_cost_too_much_come_less_often_until_they_do_not(n_cpus):
    cost_s, between_s = 0.01 * n_cpus, 0.009 * n_cpus
    *_, interval_s = intervals(cost_s, between_s, n_cpus=n_cpus)
    assert 0.5 < interval_s < 2
    assert (cost_s / interval_s + between_s) / n_cpus == pytest.approx(0.017, rel=0.01)


def test_however_dear_a_snapshot_there_is_one_every_other_second():
    assert intervals(cost_s=1, between_s=0.1)[-1] == 2


def test_after_a_dear_moment_snapshots_come_as_often_as_before():
    used_s = 0.0
    pace = Pace(0.5, 2, lambda: used_s)
    pace.published(0.0)
    used_s = 0.4
    pace.published(0.5)
    assert pace.interval_s == 2
    for at_s in (2.5, 4.5, 6.5):
        used_s += 0.02
        pace.published(at_s)
    assert pace.interval_s == 0.5
