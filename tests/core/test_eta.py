from tests.scripted import FINISHED, failed, record, token_stream
from tuibench.core.run.control import control_of
from tuibench.core.run.eta import (
    MethodCost,
    costs_of,
    planned_ns,
    run_remaining_ns,
    scoring_remaining_ns,
    trial_remaining_ns,
)
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
from tuibench.core.run.shape import Shape, Sweep
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


def test_a_method_on_another_machine_is_taken_to_be_as_slow_as_on_the_first():
    rows = ("a@big", "b@big", "a", "b")
    state = fold(RunState(), RunStarted(rows, trial_order(rows, 1), scored=True))
    for method, gap_ns, scoring_ns in (("a@big", 100, 1000), ("b@big", 10, 50)):
        state = fold(state, TrialEnded(record(method, load_ns=None, ttft_ns=10, step_ns=(gap_ns,))))
        scored = QualityRecord(method=method, eval_name="t", eval_sha256="0", duration_ns=scoring_ns, finished=FINISHED)
        state = fold(state, QualityEnded(scored))
    assert run_remaining_ns(state) == (110 + 1000) + (20 + 50)
    again = fold(state, QualityStarted("a@big"))  # what is left of a scoring says nothing about a whole one
    again = fold(again, TrialObserved("a@big", PhaseStarted(at_ns=1000, phase=Phase.QUALITY)))
    assert run_remaining_ns(again) == run_remaining_ns(state)


def test_before_anything_is_scored_it_takes_what_it_took_before():
    state = fold(RunState(), RunStarted(("a", "b"), trial_order(["a", "b"], 1), scored=True))
    state = fold(state, TrialEnded(record("a", load_ns=None, ttft_ns=10, step_ns=(5, 5))))
    assert run_remaining_ns(state, scoring_ns=1000) == 20 + 2 * 1000


ONE = (Shape(max_new_tokens=20, n_threads=1),)


def test_a_sweep_takes_as_long_as_all_its_shapes_and_a_load_for_each_number_of_threads():
    costs = {"a": MethodCost(load_ns=1000, ttft_ns=12, step_ns=5.0, scoring_ns=None, n_prompt=12)}
    sweep = Sweep(prompt_tokens=(6, 24), depth_tokens=(0, 36), max_new_tokens=(10,), n_threads=(1, 2))
    prompts_ns = 12 + 24 + (6 + 36) + (24 + 36)
    whole_ns = 2 * (prompts_ns + 4 * 10 * 5)
    assert planned_ns(costs, ["a"], shapes=sweep.shapes(), n_trials=3, scored=False) == 2 * 1000 + 3 * whole_ns


def test_what_a_run_will_take_is_what_its_methods_took_before():
    trials = [
        record("a", load_ns=100, ttft_ns=7, step_ns=(5, 5), warmup=True),
        record("a", load_ns=None, ttft_ns=10, step_ns=(4, 6)),
        failed("b", FailureKind.CRASHED),
    ]
    scored = QualityRecord(method="a", eval_name="t", eval_sha256="0", duration_ns=1200, finished=FINISHED)
    costs = costs_of(trials, [scored])
    assert costs == {"a": MethodCost(load_ns=100, ttft_ns=10, step_ns=5.0, scoring_ns=1200, n_prompt=12)}
    trial_ns = 10 + 20 * 5
    assert planned_ns(costs, ["a"], shapes=ONE, n_trials=3, scored=False) == 100 + 3 * trial_ns
    assert planned_ns(costs, ["a", "b"], shapes=ONE, n_trials=1, scored=True) == 2 * (100 + trial_ns + 1200)
    again = planned_ns(costs, ["a", control_of("a")], shapes=ONE, n_trials=1, scored=True)
    assert again == 2 * (100 + trial_ns) + 1200  # a control is not scored
    assert planned_ns(costs, ["b"], shapes=ONE, n_trials=1, scored=True) is None
