from tests.scripted import FINISHED, failed, record, token_stream
from tuibench.core.run.eta import run_remaining_ns, scoring_remaining_ns, trial_remaining_ns
from tuibench.core.run.events import FailureKind, Phase, PhaseProgressed, PhaseStarted
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import QualityRecord
from tuibench.core.run.run_events import (
    QualityEnded,
    QualityStarted,
    RunStarted,
    TrialEnded,
    TrialObserved,
    TrialStarted,
    TurnsDropped,
)
from tuibench.core.run.state import RunState, fold
from tuibench.core.run.trial_state import TrialState, fold_trial


def test_trial_remaining_is_the_mean_gap_times_what_is_left():
    trial = TrialState("a", 0, warmup=False, n_expected=10)
    assert trial_remaining_ns(trial) is None
    for event in list(token_stream([100, 200, 300]))[:-1]:
        trial = fold_trial(trial, event)
    assert trial_remaining_ns(trial) == 700


def test_run_remaining_takes_an_unknown_method_for_as_slow_as_the_slowest():
    state = fold(RunState(), RunStarted(("a", "b"), trial_order(["a", "b"], 2)))
    assert run_remaining_ns(state) is None
    state = fold(state, TrialEnded(record("a", load_ns=None, ttft_ns=10, step_ns=(5, 5))))
    assert run_remaining_ns(state) == 3 * 20


def test_run_remaining_shrinks_with_the_trial_under_way():
    state = fold(RunState(), RunStarted(("a",), trial_order(["a"], 1)))
    state = fold(state, TrialStarted("a", 0, False, 10))
    for event in list(token_stream([100, 200, 300]))[:-1]:
        state = fold(state, TrialObserved("a", event))
    assert run_remaining_ns(state) == 700


def test_scoring_is_estimated_from_its_progress_and_from_what_other_methods_took():
    state = fold(RunState(), RunStarted(("a", "b", "c"), trial_order(["a", "b", "c"], 1), scored=True))
    for method in ("a", "b", "c"):
        state = fold(state, TrialStarted(method, 0, False, 3))
        state = fold(state, TrialEnded(record(method, load_ns=None, ttft_ns=10, step_ns=(5, 5))))
    assert run_remaining_ns(state) == 0  # how long scoring takes is not known yet
    state = fold(state, QualityStarted("a"))
    state = fold(state, TrialObserved("a", PhaseStarted(at_ns=1000, phase=Phase.QUALITY)))
    state = fold(state, TrialObserved("a", PhaseProgressed(at_ns=1300, label="scoring", done=25, total=100)))
    assert scoring_remaining_ns(state.methods["a"].trial) == 900
    assert run_remaining_ns(state) == 3 * 900
    scored = QualityRecord(method="a", eval_name="t", eval_sha256="0", duration_ns=1200, finished=FINISHED)
    state = fold(state, QualityEnded(scored))
    assert run_remaining_ns(state) == 2 * 1200
    skipped = fold(state, TrialEnded(failed("c", FailureKind.SKIPPED, index=1)))
    assert run_remaining_ns(fold(skipped, TurnsDropped("c"))) == 1200  # what was skipped is not scored
