"""Skip and stop, wherever they come: the moments are made, not waited for, so that none depends on who is faster."""

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.measure.test_measurement import LIMITS, collect, drive, first_token, measurement
from tests.measure.test_resume import measured_turns, resumed
from tuibench.core.run.events import FailureKind, Phase, PhaseStarted
from tuibench.core.run.run_events import QualityEnded, QualityStarted, TrialObserved, TrialStarted, TurnsAdded
from tuibench.core.run.spec import EvalText, RunSpec
from tuibench.core.run.state import MethodStatus
from tuibench.measure.process.supervisor import WorkerProcess
from tuibench.measure.run.measurement import Measurement
from tuibench.store.replay import stored_state
from tuibench.store.session import load
from tuibench.store.writer import SessionWriter

SCORER = Path(__file__).with_name("scripted_scorer.py")
TEXT = EvalText(name="prose", text="some prose")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def statuses(state):
    return {method.method: method.status for method in state.methods.values()}


def in_phase(phase):
    def seen(event):
        if phase is Phase.START:
            return isinstance(event, TrialStarted)
        if phase is Phase.DECODE:
            return first_token(event)
        return isinstance(event, TrialObserved) and event.event == PhaseStarted(at_ns=event.event.at_ns, phase=phase)

    return seen


def when_saved(monkeypatch, act, *, of):
    """Call `act` when the first record `of` something is saved: its worker has said everything, nothing has begun."""
    real = SessionWriter.append

    def append(self, record):
        real(self, record)
        if of(record) and not done:
            done.append(record)
            act()

    done = []
    monkeypatch.setattr(SessionWriter, "append", append)


def around(monkeypatch, name, act, *, of):
    """Call `act` when a worker's `start` or `end` is called for a method, before it does anything."""
    real = getattr(WorkerProcess, name)

    async def start(load, *arguments):
        if load.method == of:
            act()
        return await real(load, *arguments)

    async def end(self):
        if self.method == of:
            act()
        await real(self)

    monkeypatch.setattr(WorkerProcess, name, start if name == "start" else end)


async def check_skipped(run, tmp_path, state, skipped="a"):
    """One method is skipped, the other done; so says the file, and so says a run that goes on with it."""
    other = {"a": "b", "b": "a"}[skipped]
    expected = {skipped: MethodStatus.SKIPPED, other: MethodStatus.DONE}
    assert statuses(state) == expected
    assert not state.cancelled
    assert statuses(stored_state(load(run.session_path))) == expected
    events, again = await collect(resumed(tmp_path, run.session_path))
    assert statuses(again) == expected
    assert measured_turns(events) == []


@pytest.mark.parametrize("phase", [Phase.START, Phase.PREPARE, Phase.LOAD, Phase.DECODE])
async def test_a_skip_ends_one_method_in_whatever_phase_it_is(tmp_path, phase):
    run = measurement(tmp_path, "a=hang" if phase is Phase.DECODE else f"a=hang-in-{phase}", n_warmup=0)
    state = await drive(run, in_phase(phase), partial(run.skip, "a"))
    (failure,) = state.methods["a"].records
    assert failure.failure_kind is FailureKind.SKIPPED
    await check_skipped(run, tmp_path, state)


@pytest.mark.parametrize("warmup", [True, False], ids=["warm-up", "trial"])
async def test_a_skip_after_a_trials_last_event_keeps_the_trial_and_ends_the_method(tmp_path, monkeypatch, warmup):
    run = measurement(tmp_path, n_warmup=int(warmup))
    when_saved(monkeypatch, partial(run.skip, "a"), of=lambda record: record.method == "a")
    _, state = await collect(run)
    first, last = state.methods["a"].records
    assert (first.failed, first.warmup) == (False, warmup)
    assert (last.failure_kind, last.failure_message) == (FailureKind.SKIPPED, "skipped before it began")
    await check_skipped(run, tmp_path, state)


async def test_a_skip_while_the_worker_is_being_started_is_not_lost(tmp_path, monkeypatch):
    run = measurement(tmp_path, n_warmup=0)
    around(monkeypatch, "start", run.skip, of="a")
    _, state = await collect(run)
    assert len(state.methods["a"].records) == 1
    await check_skipped(run, tmp_path, state)


async def test_a_skip_between_two_rounds_means_the_method_that_had_the_last_turn(tmp_path, monkeypatch):
    run = measurement(tmp_path, n_warmup=0)
    around(monkeypatch, "end", run.skip, of="a")
    _, state = await collect(run)
    (skipped,) = (method for method, status in statuses(state).items() if status is MethodStatus.SKIPPED)
    assert [record.failure_message for record in state.methods[skipped].records] == [None, "skipped before it began"]
    await check_skipped(run, tmp_path, state, skipped=skipped)


async def test_a_skip_before_anything_is_under_way_skips_nothing(tmp_path):
    run = measurement(tmp_path, n_trials=1, n_warmup=0)
    run.skip()
    _, state = await collect(run)
    assert set(statuses(state).values()) == {MethodStatus.DONE}


async def test_a_skip_after_the_last_planned_trial_ends_the_rounds_that_precision_adds(tmp_path, monkeypatch):
    run = measurement(tmp_path, n_trials=1, n_warmup=0, precision=1e-9, max_trials=3)
    when_saved(monkeypatch, partial(run.skip, "a"), of=lambda record: record.method == "a")
    events, state = await collect(run)
    assert [len(state.methods[method].measured) for method in ("a", "b")] == [1, 3]
    assert [len(event.turns) for event in events if isinstance(event, TurnsAdded)] == [2, 1]
    await check_skipped(run, tmp_path, state)


@pytest.mark.parametrize("phase", [Phase.START, Phase.PREPARE, Phase.LOAD, Phase.DECODE])
async def test_a_stop_ends_the_run_in_whatever_phase_it_is(tmp_path, phase):
    behaviour = "hang" if phase is Phase.DECODE else f"hang-in-{phase}"
    run = measurement(tmp_path, behaviour, methods=("a",), n_warmup=0)  # with two, both may be in that phase
    state = await drive(run, in_phase(phase), run.stop)
    check_stopped(run, state, [FailureKind.CANCELLED])
    [trial] = load(run.session_path).trials
    assert trial.failure_message == f"the run was stopped during {phase}"


def check_stopped(run, state, kinds):
    assert state.cancelled
    assert set(statuses(state).values()) == {MethodStatus.STOPPED}
    session = load(run.session_path)
    assert [trial.failure_kind for trial in session.trials] == kinds
    assert statuses(stored_state(session)) == statuses(state)


async def test_a_stop_after_a_trials_last_event_keeps_the_trial(tmp_path, monkeypatch):
    run = measurement(tmp_path, n_warmup=0)
    when_saved(monkeypatch, run.stop, of=lambda record: record.method == "a")
    _, state = await collect(run)
    check_stopped(run, state, [None])


async def test_a_stop_after_the_warm_up_begins_no_trial(tmp_path, monkeypatch):
    run = measurement(tmp_path)
    when_saved(monkeypatch, run.stop, of=lambda record: record.warmup)
    _, state = await collect(run)
    check_stopped(run, state, [None])


@pytest.mark.parametrize(("moment", "of", "kinds"), [
    ("start", "a", [FailureKind.CANCELLED]),
    ("end", "a", [None, None]),
])  # fmt: skip
async def test_a_stop_while_a_worker_starts_or_ends_begins_nothing(tmp_path, monkeypatch, moment, of, kinds):
    run = measurement(tmp_path, n_warmup=0)
    around(monkeypatch, moment, run.stop, of=of)
    _, state = await collect(run)
    check_stopped(run, state, kinds)


# Scores -------------------------------------------------------------------------------------------------------------


def scored(model, tmp_path, methods=("kv-cache", "b"), n_trials=1):
    spec = RunSpec(
        model="toy", methods=methods, prompt="p", max_new_tokens=4, n_trials=n_trials, n_warmup=0, eval_text=TEXT
    )
    command = (sys.executable, str(SCORER))
    return Measurement(spec, model, tmp_path / "sessions", limits=LIMITS, worker_command=command)


def kinds_of_scores(events):
    return {event.record.method: event.record.failure_kind for event in events if isinstance(event, QualityEnded)}


async def test_a_skip_between_the_last_trial_and_the_scores_skips_the_score(tiny_llama, tmp_path, monkeypatch):
    run = scored(tiny_llama, tmp_path)
    when_saved(monkeypatch, partial(run.skip, "b"), of=lambda record: record.method == "b")
    events, state = await collect(run)
    assert kinds_of_scores(events) == {"kv-cache": None, "b": FailureKind.SKIPPED}
    assert set(statuses(state).values()) == {MethodStatus.DONE}  # every trial was measured


async def test_a_skipped_method_is_not_scored(tiny_llama, tmp_path, monkeypatch):
    run = scored(tiny_llama, tmp_path, n_trials=2)
    when_saved(monkeypatch, partial(run.skip, "b"), of=lambda record: record.method == "b")
    events, state = await collect(run)
    assert kinds_of_scores(events) == {"kv-cache": None}
    assert statuses(state) == {"kv-cache": MethodStatus.DONE, "b": MethodStatus.SKIPPED}


async def test_the_reference_is_made_although_its_own_trials_were_skipped(tiny_llama, tmp_path, monkeypatch):
    run = scored(tiny_llama, tmp_path, n_trials=2)
    when_saved(monkeypatch, partial(run.skip, "kv-cache"), of=lambda record: record.method == "kv-cache")
    events, _ = await collect(run)
    assert kinds_of_scores(events) == {"b": None}
    assert [event.method for event in events if isinstance(event, QualityStarted)] == ["b"]


async def test_a_stop_between_the_last_trial_and_the_scores_scores_nothing(tiny_llama, tmp_path, monkeypatch):
    run = scored(tiny_llama, tmp_path)
    when_saved(monkeypatch, run.stop, of=lambda record: record.method == "b")
    events, state = await collect(run)
    assert kinds_of_scores(events) == {}
    assert state.cancelled
