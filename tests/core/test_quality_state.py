"""How the fold tells that a method is being scored, and what came of it."""

from datetime import UTC, datetime

from tuibench.core.run.events import FailureKind, Phase, PhaseProgressed, PhaseStarted
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.run_events import (
    QualityEnded,
    QualityStarted,
    RunStarted,
    TrialEnded,
    TrialObserved,
    TrialStarted,
)
from tuibench.core.run.state import MethodStatus, RunState, fold

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def folded(*events):
    state = RunState()
    for event in (
        RunStarted(("kv-cache",), trial_order(["kv-cache"], 1)),
        TrialStarted("kv-cache", 0, warmup=False, n_expected=4),
        TrialEnded(TrialRecord(method="kv-cache", index=0, finished=NOW)),
        *events,
    ):
        state = fold(state, event)
    return state.methods["kv-cache"]


def observed(event):
    return TrialObserved("kv-cache", event)


def test_scoring_is_running_and_its_progress_is_the_trials():
    method = folded(
        QualityStarted("kv-cache"),
        observed(PhaseStarted(at_ns=5, phase=Phase.QUALITY)),
        observed(PhaseProgressed(at_ns=6, label="scoring", done=32, total=2048)),
    )
    assert method.status is MethodStatus.RUNNING
    assert method.scoring
    assert method.trial.phase is Phase.QUALITY
    assert method.trial.progress.done == 32


def test_a_failed_score_is_kept_and_leaves_the_method_done():
    record = QualityRecord(
        method="kv-cache",
        eval_name="text",
        eval_sha256="0",
        failure_kind=FailureKind.TIMED_OUT,
        failure_message="too slow",
        finished=NOW,
    )
    method = folded(QualityStarted("kv-cache"), QualityEnded(record))
    assert method.quality is record
    assert not method.scoring
    assert method.status is MethodStatus.DONE
