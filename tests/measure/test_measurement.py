import asyncio
import dataclasses
import errno
import os
import sys
from contextlib import aclosing
from datetime import date
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tuibench import paths
from tuibench.core.machine.validity import Lamp
from tuibench.core.run.events import FailureKind, Phase, TokenEmitted
from tuibench.core.run.run_events import MachineDescribed, Noticed, TrialEnded, TrialObserved, TrialStarted, TurnsAdded
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.state import MethodStatus
from tuibench.machine import memory_room
from tuibench.machine.bandwidth import BandwidthError
from tuibench.machine.lock import measuring
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.measure.run.measurement import Measurement
from tuibench.measure.run.trial_requests import WARMUP_TOKENS
from tuibench.models.local import LocalModel
from tuibench.store.replay import stored_state
from tuibench.store.session import load, load_header
from tuibench.store.trash import delete

SCRIPT = Path(__file__).with_name("scripted_worker.py")
# Nothing here runs into a limit, however slow the machine is.
LIMITS = TimeLimits(phase_s=dict.fromkeys(Phase, 600.0), token_s=600.0, heartbeat_s=600.0, terminate_s=0.4)
MODEL = LocalModel("toy", "toy", Path(), "00", 10, 40, "ToyForCausalLM", "F32", 64)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def measurement(tmp_path, behaviour="good", methods=("a", "b"), n_trials=2, bandwidth=None, model=MODEL, **changes):
    spec = RunSpec(model="toy", methods=methods, prompt="p", n_trials=n_trials, **{"max_new_tokens": 6, **changes})
    return Measurement(
        spec, model, tmp_path / "sessions",
        limits=LIMITS, worker_command=command(tmp_path, behaviour), bandwidth=bandwidth,
    )  # fmt: skip


def command(tmp_path, behaviour):
    return (sys.executable, str(SCRIPT), behaviour, str(tmp_path / "marker"))


async def collect(run):
    async with aclosing(run.events()) as stream:
        folded = [each async for each in stream]
    return [each.event for each in folded], folded[-1].state


async def test_a_run_takes_its_turns_and_saves_every_trial(tmp_path):
    run = measurement(tmp_path)
    events, state = await collect(run)
    started = [(event.method, event.index, event.warmup) for event in events if isinstance(event, TrialStarted)]
    assert started == [
        ("a", 0, True), ("b", 0, True), ("a", 0, False), ("b", 0, False),
        ("b", 0, True), ("a", 0, True), ("b", 1, False), ("a", 1, False),
    ]  # fmt: skip
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}
    session = load(run.session_path)
    assert session.trials == tuple(event.record for event in events if isinstance(event, TrialEnded))
    assert session.dropped == ()


async def test_the_stored_session_folds_to_what_was_seen_live(tmp_path):
    run = measurement(tmp_path)
    _, live = await collect(run)
    stored = stored_state(load(run.session_path))
    assert stored.methods.keys() == live.methods.keys()
    for method, state in stored.methods.items():
        assert state.records == live.methods[method].records
        assert state.trial.text == live.methods[method].trial.text
        assert state.trial.step_ns() == live.methods[method].trial.step_ns()
        assert state.trial.ttft_ns == live.methods[method].trial.ttft_ns
        assert state.status is live.methods[method].status


async def test_methods_take_turns_forward_and_backward_within_a_round(tmp_path):
    events, state = await collect(measurement(tmp_path, methods=("a", "b", "c"), n_trials=1, max_new_tokens=40))
    tokens = token_methods(events)[-3 * 40 :]
    assert [method for method, _ in groupby(tokens)] == ["a", "b", "c", "b", "a", "b", "c"]
    assert [len(record.step_ns) for each in state.methods.values() for record in each.measured] == [39] * 3


def token_methods(events):
    return [each.method for each in events if isinstance(each, TrialObserved) and isinstance(each.event, TokenEmitted)]


async def test_a_method_that_dies_in_its_turn_leaves_the_others_theirs(tmp_path):
    methods = ("a", "b", "c")
    _, state = await collect(measurement(tmp_path, "b=dies-late", methods=methods, n_trials=1, max_new_tokens=40))
    found = [method.status for method in state.methods.values()]
    assert found == [MethodStatus.DONE, MethodStatus.FAILED, MethodStatus.DONE]
    assert state.methods["b"].failure.failure_kind is FailureKind.KILLED


@pytest.mark.parametrize("act", ["skip", "stop"])
async def test_a_method_that_waits_for_its_turn_can_be_called_off(tmp_path, act):
    run = measurement(tmp_path, n_trials=1, max_new_tokens=40)
    state = await drive(run, _b_has_its_first_turn, lambda: run.skip("a") if act == "skip" else run.stop())
    kinds = {name: method.failure and method.failure.failure_kind for name, method in state.methods.items()}
    called_off = FailureKind.SKIPPED if act == "skip" else FailureKind.CANCELLED
    assert kinds == {"a": called_off, "b": None if act == "skip" else called_off}


def _b_has_its_first_turn(event):
    seen = isinstance(event, TrialObserved) and event.method == "b" and isinstance(event.event, TokenEmitted)
    return seen and event.event.index == WARMUP_TOKENS  # a warm-up has no such token


async def test_workers_that_do_not_fit_into_memory_together_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_room.psutil, "virtual_memory", lambda: SimpleNamespace(available=1 << 20, total=1 << 30))
    events, state = await collect(measurement(tmp_path, n_trials=1, max_new_tokens=40))
    assert [method for method, _ in groupby(token_methods(events))] == ["a", "b"]
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}
    assert [notice for notice in state.notices if "one after the other" in notice]


@pytest.mark.parametrize(
    ("methods", "n_times_each"), [(("a", "b"), 1), (("fused-int8", "fused-int4"), 3)], ids=["unknown", "known"]
)
async def test_methods_that_are_known_to_fit_take_turns_from_the_first_round_on(
    tmp_path, monkeypatch, tiny_llama, methods, n_times_each
):
    free = SimpleNamespace(available=20 << 30, total=20 << 30)
    monkeypatch.setattr(memory_room.psutil, "virtual_memory", lambda: free)
    # It is said to be large: where nothing is known, as much as 1.5 times its FP32 weights is taken to be needed each.
    large = dataclasses.replace(MODEL, directory=tiny_llama.directory, parameters=1_100_000_000)
    events, _ = await collect(measurement(tmp_path, methods=methods, n_trials=1, max_new_tokens=40, model=large))
    runs = [method for method, _ in groupby(token_methods(events))]
    assert runs.count(methods[0]) >= n_times_each
    assert (len(runs) == len(methods)) is (n_times_each == 1)


async def test_beside_others_every_turn_of_every_method_loads_anew(tmp_path):
    _, state = await collect(measurement(tmp_path, methods=("a", "b", "c"), n_trials=3))
    for method in state.methods.values():
        assert [record.load_ns for record in method.measured] == [1_000_000] * 3


async def test_alone_a_method_keeps_its_worker(tmp_path):
    _, state = await collect(measurement(tmp_path, methods=("b",)))
    assert [record.load_ns for record in state.methods["b"].measured] == [1_000_000, None]


async def test_a_crash_is_a_row_and_the_rest_goes_on(tmp_path):
    run = measurement(tmp_path, "first-only", n_warmup=0)
    _, state = await collect(run)
    assert [record.failure_kind for record in state.methods["a"].records] == [FailureKind.KILLED, None]
    assert state.methods["b"].status is MethodStatus.DONE
    assert state.methods["a"].status is MethodStatus.FAILED
    assert len(load(run.session_path).trials) == 4


async def test_what_a_build_left_that_died_with_its_worker_is_gone_with_the_runs_end(tmp_path):
    half_built = paths.artifacts_dir() / ".staging" / "toy-0123"
    half_built.mkdir(parents=True)
    (half_built / "weights.bin").write_bytes(b"half")
    await collect(measurement(tmp_path, "sigkill", methods=("a",), n_trials=1))
    assert not list(half_built.parent.iterdir())


async def test_a_failed_warmup_costs_its_turn(tmp_path):
    _, state = await collect(measurement(tmp_path, "first-only"))
    assert [(record.warmup, record.failed) for record in state.methods["a"].records] == [
        (False, True), (True, False), (False, False),
    ]  # fmt: skip


async def test_a_record_is_made_from_the_state_that_watchers_see(tmp_path):
    n_kept = 0
    async with aclosing(measurement(tmp_path).events()) as stream:
        async for event, state in stream:
            if isinstance(event, TrialEnded):
                seen, record = state.methods[event.record.method].trial, event.record
                assert (tuple(seen.log.ids), tuple(seen.step_ns()), seen.text) == (
                    record.token_ids, record.step_ns, record.text
                )  # fmt: skip
                n_kept += 1
    assert n_kept == 8


async def test_a_method_that_cannot_run_is_tried_once(tmp_path):
    _, state = await collect(measurement(tmp_path, "unsupported", n_trials=3))
    assert [len(method.records) for method in state.methods.values()] == [1, 1]
    assert {method.status for method in state.methods.values()} == {MethodStatus.FAILED}


async def drive(run, when, act):
    """Run, call `act` at the first token, return the final state."""
    folded, acted = None, False
    async with aclosing(run.events()) as stream:
        async for folded in stream:
            if not acted and when(folded.event):
                acted = True
                act()
    return folded.state


def first_token(event):
    return isinstance(event, TrialObserved) and isinstance(event.event, TokenEmitted)


async def test_stop_keeps_what_is_finished_and_drops_the_rest(tmp_path):
    run = measurement(tmp_path, "hang", n_warmup=0)
    state = await drive(run, first_token, run.stop)
    assert state.cancelled
    assert {method.status for method in state.methods.values()} == {MethodStatus.STOPPED}
    assert [trial.failure_kind for trial in load(run.session_path).trials] == [FailureKind.CANCELLED]


async def test_leaving_the_events_ends_the_worker(tmp_path):
    run = measurement(tmp_path, "hang", n_warmup=0)
    async with aclosing(run.events()) as stream:
        async for event, _ in stream:
            if first_token(event):
                break
    assert not [child for child in psutil.Process().children() if str(SCRIPT) in child.cmdline()]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "writable again"), (errno.EPERM, "written to")],
)
async def test_a_disk_that_refuses_is_told_and_its_trials_are_saved_with_the_next(tmp_path, monkeypatch, code, remedy):
    from tuibench.store import append

    real_fsync, calls = append.os.fsync, 0

    def full_once(descriptor):
        nonlocal calls
        calls += 1
        if calls == 4:  # the header, its folder and one trial are through
            raise OSError(code, os.strerror(code))
        real_fsync(descriptor)

    monkeypatch.setattr(append.os, "fsync", full_once)
    run = measurement(tmp_path, n_warmup=0)
    events, _ = await collect(run)
    notices = [event.text for event in events if isinstance(event, Noticed)]
    assert len(notices) == 1
    assert f"{os.strerror(code)}; results not saved yet: " in notices[0]
    assert remedy in notices[0]
    assert len(load(run.session_path).trials) == 4


async def test_a_session_that_is_removed_while_it_is_measured_goes_on_in_a_new_file(tmp_path):
    run = measurement(tmp_path, n_warmup=0)

    def remove():
        run.session_path.unlink()

    await drive(run, lambda event: isinstance(event, TrialEnded), remove)
    assert [(trial.method, trial.index) for trial in load(run.session_path).trials] == [("b", 0), ("b", 1), ("a", 1)]
    delete(run.session_path)  # nobody measures it any more


async def test_a_second_measurement_waits_for_the_first(tmp_path):
    released = asyncio.Event()
    noticed = asyncio.Event()

    async def hold():
        async with measuring(paths.measurement_lock(), on_wait=lambda: None):
            held.set()
            await noticed.wait()
        released.set()

    held = asyncio.Event()
    holder = asyncio.create_task(hold())
    await held.wait()
    run = measurement(tmp_path, methods=("a",), n_trials=1)
    state = await drive(run, lambda event: isinstance(event, Noticed), noticed.set)
    await holder
    assert released.is_set()
    assert "waiting" in state.notices[0]
    assert state.methods["a"].status is MethodStatus.DONE


async def test_stopping_while_waiting_measures_nothing(tmp_path):
    async with measuring(paths.measurement_lock(), on_wait=lambda: None):
        run = measurement(tmp_path)
        state = await drive(run, lambda event: isinstance(event, Noticed), run.stop)
    assert state.cancelled
    assert run.session_path is None


async def test_more_threads_than_cpus_is_stored_as_a_doubt(tmp_path):
    _, state = await collect(measurement(tmp_path, methods=("a",), n_trials=1, n_threads=4096))
    assert "4096 threads" in state.methods["a"].measured[0].validity[0]


async def test_rounds_are_added_until_the_trials_run_out(tmp_path):
    run = measurement(tmp_path, n_trials=2, precision=1e-9, max_trials=4, n_warmup=0)
    events, state = await collect(run)
    assert [len(method.measured) for method in state.methods.values()] == [4, 4]
    assert [event.turns[0].index for event in events if isinstance(event, TurnsAdded)] == [2, 3]
    assert (state.n_turns, state.cancelled) == (8, False)
    assert {method.status for method in state.methods.values()} == {MethodStatus.DONE}
    assert {method.status for method in stored_state(load(run.session_path)).methods.values()} == {MethodStatus.DONE}


async def test_a_settled_method_takes_no_more_turns(tmp_path, monkeypatch):
    looks = []

    def precise_enough(speeds_tps, *, precision):
        looks.append((len(speeds_tps), precision))
        return len(looks) % 2 == 1  # methods are looked at in their order

    monkeypatch.setattr("tuibench.measure.run.tally.precise_enough", precise_enough)
    _, state = await collect(measurement(tmp_path, n_trials=1, precision=0.05, max_trials=3, n_warmup=0))
    assert looks[:2] == [(1, 0.05), (1, 0.05)]
    assert [len(method.measured) for method in state.methods.values()] == [1, 3]


async def test_a_used_up_budget_begins_no_further_round(tmp_path):
    run = measurement(tmp_path, n_trials=3, budget_s=1e-6)
    _, state = await collect(run)
    assert [len(method.measured) for method in state.methods.values()] == [1, 1]
    assert {method.status for method in state.methods.values()} == {MethodStatus.STOPPED}
    assert "budget" in state.notices[-1]
    assert {method.status for method in stored_state(load(run.session_path)).methods.values()} == {MethodStatus.STOPPED}


async def test_the_bandwidth_is_measured_first_and_kept_in_the_header(tmp_path):
    async def bandwidth(n_threads):
        return n_threads * 10**18

    run = measurement(tmp_path, methods=("a",), n_trials=1, n_threads=2, bandwidth=bandwidth)
    events, state = await collect(run)
    kinds = [type(event) for event in events]
    assert kinds.index(MachineDescribed) < kinds.index(TrialStarted)
    assert state.machine.read_bytes_per_s == 2 * 10**18
    assert load(run.session_path).header.machine == state.machine
    assert stored_state(load(run.session_path)).machine == state.machine


async def test_a_bandwidth_that_a_method_exceeds_is_measured_once_more_and_the_higher_counts(tmp_path):
    asked = []

    async def bandwidth(_, *, again=False):
        asked.append(again)
        return 10**18 if again else 1

    run = measurement(tmp_path, methods=("a",), n_trials=1, bandwidth=bandwidth)
    _, state = await collect(run)
    assert asked == [False, True]
    assert (state.machine.first_read_bytes_per_s, state.machine.read_bytes_per_s) == (1, 10**18)
    assert load(run.session_path).header.machine == state.machine
    assert load_header(run.session_path).machine.read_bytes_per_s == 1  # what is written stays
    assert stored_state(load(run.session_path)).machine == state.machine


async def test_a_bandwidth_that_holds_is_measured_once(tmp_path):
    asked = []

    async def bandwidth(_, *, again=False):
        asked.append(again)
        return 10**18

    run = measurement(tmp_path, methods=("a",), n_trials=1, bandwidth=bandwidth)
    await collect(run)
    assert asked == [False]
    assert "first_read_bytes_per_s" not in run.session_path.read_text()


async def test_an_unknown_bandwidth_is_told_and_the_run_goes_on(tmp_path):
    async def bandwidth(_):
        raise BandwidthError("no memory to spare")

    _, state = await collect(measurement(tmp_path, methods=("a",), n_trials=1, bandwidth=bandwidth))
    assert state.notices == ("no memory to spare",)
    assert state.machine.read_bytes_per_s is None
    assert state.methods["a"].status is MethodStatus.DONE


async def test_stopping_ends_the_bandwidth_measurement(tmp_path):
    ended = asyncio.Event()

    async def bandwidth(_):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    run = measurement(tmp_path, methods=("a",), n_trials=1, bandwidth=bandwidth)
    state = await drive(run, lambda event: isinstance(event, Noticed), run.stop)
    assert ended.is_set()
    assert state.cancelled
    assert "read bandwidth" in state.notices[0]
    assert run.session_path is None


async def test_every_finished_trial_has_a_lamp(tmp_path):
    _, state = await collect(measurement(tmp_path, methods=("a",), n_trials=1))
    assert {record.lamp for record in state.methods["a"].records} <= set(Lamp)


async def test_a_prompt_that_is_not_read_is_told_once_and_by_each_trial(tmp_path):
    run = measurement(tmp_path, "unread")
    events, state = await collect(run)
    assert [event.text for event in events if isinstance(event, Noticed)] == ["a word is not read"]
    assert state.notices == ("a word is not read",)
    assert {trial.validity[0] for trial in load(run.session_path).trials} == {"a word is not read"}


async def test_all_trials_tell_the_model_one_day_which_the_session_keeps(tmp_path):
    run = measurement(tmp_path, prompt_date=date(2024, 2, 29))
    await collect(run)
    session = load(run.session_path)
    assert session.header.prompt_date == session.header.settings.prompt_date == date(2024, 2, 29)
    assert {trial.prompt_text_sha256 for trial in session.trials} == {"2024-02-29"}
    assert session.prompt_read == ("2024-02-29", 3)


async def test_the_day_is_that_on_which_the_session_begins(tmp_path):
    run = measurement(tmp_path)
    await collect(run)
    header = load(run.session_path).header
    assert header.settings.prompt_date == header.created.astimezone().date()
