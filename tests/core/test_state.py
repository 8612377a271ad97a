import pytest
from msgspec.structs import replace

from tests.scripted import failed, record, token_stream
from tuibench.core.run.events import EngineReady, FailureKind, Memory, Phase, TokenEmitted
from tuibench.core.run.plan import Turn, trial_order
from tuibench.core.run.run_events import RunEnded, RunStarted, TrialEnded, TrialObserved, TrialStarted, TurnsDropped
from tuibench.core.run.state import MethodStatus, RunState, fold
from tuibench.core.run.trial_state import TrialState, fold_trial


def trial(n_expected: int = 4) -> TrialState:
    return TrialState("kv-cache", 0, warmup=False, n_expected=n_expected)


def fold_all(state, events):
    for event in events:
        state = fold(state, event)
    return state


def test_fold_trial_computes_ttft_and_gaps_from_the_workers_clock():
    state = trial()
    for event in token_stream([1_000, 5_000, 7_500], requested_ns=400):
        state = fold_trial(state, event)
    assert state.ttft_ns == 600
    assert state.step_ns() == [4_000, 2_500]
    assert state.step_ns(start=1) == [2_500]
    assert state.decode_tps == pytest.approx(2 * 1e9 / 6_500)
    assert state.phase is Phase.IDLE


def test_numbers_that_do_not_exist_are_none():
    state = fold_trial(trial(), TokenEmitted(at_ns=5, index=0, token_id=1, text="a"))
    assert trial().ttft_ns is None
    assert state.ttft_ns is None  # nothing was requested
    assert state.decode_tps is None
    assert state.step_ns() == []


def test_fold_trial_leaves_the_earlier_state_alone():
    first = fold_trial(trial(), TokenEmitted(at_ns=1, index=0, token_id=7, text="a"))
    one_future = fold_trial(first, TokenEmitted(at_ns=2, index=1, token_id=8, text="b"))
    other_future = fold_trial(first, TokenEmitted(at_ns=3, index=1, token_id=9, text="c"))
    assert first.text == "a"
    assert one_future.text == "ab"
    assert other_future.text == "ac"
    assert other_future.log.ids == [7, 9]


def test_what_an_earlier_worker_said_is_not_taken_for_the_next_ones_word():
    ready = EngineReady(at_ns=1, load_ns=1, memory=Memory())
    start = fold_all(RunState(), [RunStarted(("a",), trial_order("a", 1)), TrialStarted("a", 0, False, 4)])
    loaded = fold(start, TrialObserved("a", ready))
    assert loaded.methods["a"].trial.ready is ready
    assert fold(loaded, TrialStarted("a", 1, False, 4)).methods["a"].trial.ready is None
    assert fold(loaded, TrialStarted("a", 1, False, 4, ready=ready)).methods["a"].trial.ready is ready


def test_fold_trial_shares_the_log_so_that_a_token_costs_the_same_at_any_length():
    state = trial(10_000)
    log = state.log
    for index in range(10_000):
        state = fold_trial(state, TokenEmitted(at_ns=index, index=index, token_id=0, text="x"))
    assert state.log is log
    assert state.n_gen == 10_000


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ((TrialEnded(record("a")), TrialEnded(record("a", index=1))), MethodStatus.DONE),
        ((TrialEnded(record("a")),), MethodStatus.WAITING),
        ((TrialEnded(failed("a", FailureKind.SKIPPED)), TurnsDropped("a")), MethodStatus.SKIPPED),
        ((TrialEnded(failed("a", FailureKind.CANCELLED)), TurnsDropped("a")), MethodStatus.STOPPED),
        ((TrialEnded(record("a")), TurnsDropped("a")), MethodStatus.STOPPED),
        ((TrialEnded(failed("a", FailureKind.CRASHED)), TurnsDropped("a")), MethodStatus.FAILED),
        ((TrialEnded(record("a")), TrialEnded(failed("a", FailureKind.CRASHED, index=1))), MethodStatus.FAILED),
        ((TrialStarted("a", 0, False, 4),), MethodStatus.RUNNING),
    ],
)
def test_a_method_has_the_status_that_its_trials_give_it(end, status):
    state = fold_all(RunState(), [RunStarted(("a",), (Turn("a", 0), Turn("a", 1))), *end])
    assert state.methods["a"].status is status


def test_warmup_and_failed_trials_are_kept_and_never_measured():
    start = RunStarted(("a",), trial_order(["a"], 3))
    trials = [record("a", warmup=True), failed("a", FailureKind.CRASHED), record("a", index=1)]
    state = fold_all(RunState(), [start, *map(TrialEnded, trials)])
    assert len(state.methods["a"].records) == 3
    assert state.methods["a"].measured == (trials[2],)
    assert state.n_done == 2


def test_an_event_of_one_method_leaves_the_others_alone():
    start = fold_all(RunState(), [RunStarted(("a", "b"), trial_order("ab", 1)), TrialStarted("a", 0, False, 4)])
    after = fold(start, TrialObserved("a", TokenEmitted(at_ns=1, index=0, token_id=1, text="x")))
    assert after.methods["b"] is start.methods["b"]
    assert after.methods["a"].trial.n_gen == 1
    assert start.methods["a"].trial.n_gen == 0


def test_run_ended_says_whether_it_was_stopped():
    state = fold(replace(RunState(), running=True), RunEnded(cancelled=True))
    assert not state.running
    assert state.cancelled
