from pathlib import Path

import pytest

from tests.scripted import record
from tests.ui.scripted import HOLD, cancelled, trial, whole_run
from tuibench.core.results.metrics import DECODE, TTFT
from tuibench.core.run.events import FailureKind, Phase, PhaseProgressed, PhaseStarted
from tuibench.core.run.plan import trial_order
from tuibench.core.run.run_events import QualityStarted, RunEnded, RunStarted, TrialObserved, TrialStarted, TurnsDropped
from tuibench.core.run.state import MethodState, RunState, fold
from tuibench.store.replay import stored_state
from tuibench.store.session import load
from tuibench.ui.text import describe, ladder_rows


def state_of(events):
    state = RunState()
    for event in events:
        if event is not HOLD:
            state = fold(state, event)
    return state


def method_of(*events, n_trials=3):
    started = RunStarted(("kv-cache",), trial_order(("kv-cache",), n_trials))
    return state_of([started, *events]).methods["kv-cache"]


def test_a_method_that_waits_has_no_numbers():
    method = method_of()
    assert describe.phase_label(method) == "waiting"
    assert describe.decode_tps(method) is describe.ttft_ns(method) is describe.eta_s(method) is None
    assert describe.stream_of(method) is None


def test_a_running_trial_shows_its_own_speed_and_what_is_left():
    method = method_of(*trial("kv-cache", 1, n_expected=40, n_gen=20, end=False))
    assert describe.phase_label(method) == "trial 2/3 · decode"
    assert describe.progress(method) == (20, 40)
    assert describe.decode_tps(method) == method.trial.decode_tps
    assert describe.eta_s(method) == pytest.approx(20 / method.trial.decode_tps)


@pytest.mark.parametrize("warmup", [True, False])
def test_until_a_further_trial_has_numbers_those_of_the_earlier_ones_stay(warmup):
    earlier = trial("kv-cache", n_gen=9)
    before = method_of(*earlier)
    method = method_of(*earlier, TrialStarted("kv-cache", 1, warmup, 40))
    assert method.running
    assert describe.decode_tps(method) == describe.decode_tps(before) is not None
    assert describe.ttft_ns(method) == describe.ttft_ns(before) is not None
    assert describe.stream_of(method).pieces == before.records[-1].pieces()
    assert describe.eta_s(method) is None


def test_what_is_left_of_scoring_goes_by_its_own_progress():
    steps = (
        PhaseStarted(at_ns=1_000_000_000, phase=Phase.QUALITY),
        PhaseProgressed(at_ns=4_000_000_000, label="scoring", done=25, total=100),
    )
    method = method_of(*trial("kv-cache"), QualityStarted("kv-cache"))
    assert describe.eta_s(method) is None
    method = method_of(
        *trial("kv-cache"), QualityStarted("kv-cache"), *(TrialObserved("kv-cache", event) for event in steps)
    )
    assert describe.eta_s(method) == 9


def test_while_a_method_is_scored_it_shows_medians():
    trials = [event for index, ms in enumerate((20, 30, 40)) for event in trial("kv-cache", index, base_ms=ms)]
    method = method_of(*trials, QualityStarted("kv-cache"))
    assert method.scoring
    assert describe.decode_tps(method) == pytest.approx(1000 / 30, rel=0.1)


def test_a_warm_up_is_called_so():
    assert describe.phase_label(method_of(*trial("kv-cache", warmup=True, n_gen=2, end=False))).startswith("warm-up")


def test_long_preparation_shows_its_own_label_and_steps():
    started = TrialStarted("kv-cache", 0, False, 40)
    preparing = [
        TrialObserved("kv-cache", PhaseStarted(at_ns=0, phase=Phase.PREPARE)),
        TrialObserved("kv-cache", PhaseProgressed(at_ns=1, label="exporting\x1b", done=3, total=9)),
    ]
    method = method_of(started, *preparing)
    assert describe.phase_label(method) == "trial 1/3 · exporting␛"
    assert describe.progress(method) == (3, 9)


def test_loading_has_no_end_that_is_known():
    method = method_of(TrialStarted("kv-cache", 0, False, 40))
    assert describe.progress(method) == (0, None)


def test_an_ended_method_shows_medians():
    method = state_of(whole_run(n_trials=2)).methods["kv-cache"]
    assert describe.phase_label(method) == "median of 2"
    assert describe.decode_tps(method) == pytest.approx(40, rel=0.1)
    assert describe.progress(method) == (2, 2)


@pytest.mark.parametrize(
    ("kind", "label"),
    [(FailureKind.SKIPPED, "skipped"), (FailureKind.CANCELLED, "stopped"), (FailureKind.CRASHED, "failed")],
)
def test_a_method_that_ended_early_says_how(kind, label):
    method = method_of(
        TrialStarted("kv-cache", 0, False, 4), cancelled("kv-cache", kind=kind), TurnsDropped("kv-cache")
    )
    assert describe.phase_label(method) == label
    assert describe.progress(method)[1] is None


def test_a_failure_names_kind_place_and_reason():
    method = method_of(*trial("kv-cache", n_gen=3, failure=FailureKind.OUT_OF_MEMORY))
    assert describe.failure_text(method.failure).startswith("out-of-memory during decode\nthe kernel ended")


def test_a_record_streams_the_same_text_as_the_trial_did():
    live = state_of(whole_run()).methods["kv-cache"]
    stored = MethodState("kv-cache", n_planned=1, records=live.records)
    ours, theirs = describe.stream_of(stored), describe.stream_of(live)
    assert ours.pieces == theirs.pieces
    assert ours.step_ns(3) == theirs.step_ns(3)


def test_texts_are_held_against_kv_cache_or_the_first():
    assert describe.text_reference(state_of(whole_run(("baseline", "kv-cache")))).method == "kv-cache"
    assert describe.text_reference(state_of(whole_run(("onnx", "int8-torch")))).method == "onnx"
    assert describe.text_reference(RunState()) is None


def test_a_first_difference_counts_only_as_far_as_both_go():
    def stream(ids, n):
        return describe.Stream("k", ["x"] * len(ids), n, "", 9, ids, None)

    assert describe.first_difference(stream([1, 2, 9], 3), stream((1, 2, 3), 3)) == 2
    assert describe.first_difference(stream([1, 2, 9], 2), stream((1, 2, 3), 3)) is None
    assert describe.first_difference(stream([1, 2, 9], 3), stream((1, 2, 3), 2)) is None
    assert describe.first_difference(stream([1], 1), None) is None


def test_the_run_says_where_it_stands():
    assert describe.run_label(RunState()) == "idle"
    assert describe.run_label(state_of(whole_run()[:-1])) == "● running · 2/2 trials"
    assert describe.run_label(state_of(whole_run(("baseline",))[:-1])) == "● running · 1/1 trial"
    assert describe.run_label(state_of([*whole_run()[:-1], RunEnded(cancelled=True)])) == "■ stopped · 2/2 trials"
    failing = [RunStarted(("kv-cache",), ()), *trial("kv-cache", failure=FailureKind.HUNG), RunEnded()]
    assert describe.run_label(state_of(failing)).endswith("1 failed")


def test_what_was_skipped_or_stopped_counts_as_no_trial_in_the_run_as_in_its_row():
    started = RunStarted(("baseline", "kv-cache"), trial_order(("baseline", "kv-cache"), 1))
    measured = trial("baseline")
    skipped = cancelled("kv-cache", kind=FailureKind.SKIPPED)
    state = state_of([started, *measured, skipped, RunEnded()])
    assert describe.run_label(state) == "■ ended · 1/2 trials · 1 skipped"
    assert ladder_rows.state_text(state.methods["kv-cache"], 16) == "skipped 0/1"
    state = state_of([started, *measured, cancelled("kv-cache"), RunEnded(cancelled=True)])
    assert describe.run_label(state) == "■ stopped · 1/2 trials"
    assert ladder_rows.state_text(state.methods["kv-cache"], 16) == "stopped 0/1"


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_word(phase):
    method = method_of(
        TrialStarted("kv-cache", 0, warmup=False, n_expected=4),
        QualityStarted("kv-cache"),
        TrialObserved("kv-cache", PhaseStarted(at_ns=1, phase=phase)),
    )
    assert describe.phase_word(method)
    assert describe.phase_label(method).startswith("quality · ")


@pytest.mark.parametrize(
    ("pieces", "index"),
    [((" a", " b c", " d"), None), ((" a b", " x", " d"), 1), ((" a", " b"), None), ((" a", " b c d and more"), None)],
)
def test_text_without_tokens_is_held_against_the_reference_piece_by_piece(pieces, index):
    chars = tuple(map(len, pieces))
    ours = record("endpoint", token_ids=(), n_told=4, text="".join(pieces), piece_chars=chars)
    theirs = record(text=" a b c d", piece_chars=(2, 2, 2, 2), token_ids=(1, 2, 3, 4))
    assert describe.first_difference(describe.stream_of_record(ours), describe.stream_of_record(theirs)) == index


def test_figures_of_a_sweep_are_those_of_one_shape():
    stored = stored_state(load(Path(__file__).parents[1] / "store" / "samples" / "v4-users.toml"))
    for method in stored.methods.values():
        assert {trial.shape for trial in method.measured} != {method.measured[-1].shape}
        assert describe.decode_tps(method) == DECODE.compute(method.measured[-1])
        assert describe.ttft_ns(method) == TTFT.compute(method.measured[-1])
        assert describe.phase_label(method) == "done"
