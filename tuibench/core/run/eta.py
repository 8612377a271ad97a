"""How long a run may still take, from what it has shown so far."""

from __future__ import annotations

from tuibench.core.run.control import is_control
from tuibench.core.run.events import Phase
from tuibench.core.run.state import MethodState, MethodStatus, RunState
from tuibench.core.run.trial_state import TrialState


def trial_remaining_ns(trial: TrialState) -> int | None:
    """Return what is left of a trial at the mean gap so far; None before there is a gap."""
    tps = trial.decode_tps
    return None if tps is None else round(max(0, trial.n_expected - trial.n_gen) * 1e9 / tps)


def scoring_remaining_ns(trial: TrialState) -> int | None:
    """Return what is left of scoring a method at its speed so far; None before any was seen."""
    progress, since_ns = trial.progress, trial.phase_since_ns
    if trial.phase is not Phase.QUALITY or progress is None or not progress.total or progress.done <= 0:
        return None
    if since_ns is None:
        return None
    return round((progress.at_ns - since_ns) * (progress.total - progress.done) / progress.done)


def run_remaining_ns(state: RunState) -> int | None:
    """Return what is left of a run; None as long as nothing is known. What is not known yet of scoring is left out.

    A method that has not run yet is taken to be as slow as the slowest that has: later rungs of the ladder are faster,
    so the estimate shrinks rather than grows.
    """
    known = [ns for method in state.methods.values() if (ns := _trial_ns(method)) is not None]
    if not known:
        return None
    remaining_ns = 0
    for method in state.methods.values():
        n_left = 0 if method.dropped else method.n_planned - method.n_done
        trial_ns = _trial_ns(method) or max(known)
        if method.running and method.trial is not None and n_left:
            n_left -= 0 if method.trial.warmup else 1
            remaining_ns += trial_remaining_ns(method.trial) or trial_ns
        remaining_ns += n_left * trial_ns
    return remaining_ns + _scoring_ns(state)


def _scoring_ns(state: RunState) -> int:
    """Return what is left of scoring: methods to come are taken to be as slow as the slowest that is known."""
    waiting = [method for method in state.methods.values() if state.scored and _to_be_scored(method)]
    known = [method.quality.duration_ns or 0 for method in state.methods.values() if method.quality]
    current_ns = 0
    for method in waiting:
        if method.scoring and method.trial is not None:
            current_ns = scoring_remaining_ns(method.trial) or 0
            known.append(current_ns)
    n_to_come = sum(not method.scoring for method in waiting)
    return current_ns + n_to_come * max(known, default=0)


def _to_be_scored(method: MethodState) -> bool:
    wanted = bool(method.n_measured) and not is_control(method.method)
    return wanted and method.quality is None and method.status is not MethodStatus.SKIPPED


def _trial_ns(method: MethodState) -> int | None:
    """Return how long one measured trial of a method takes, loading included as far as it was seen."""
    if method.slowest_ns is not None:
        return method.slowest_ns
    trial = method.trial
    if trial is None or trial.warmup or trial.decode_tps is None or trial.ttft_ns is None:
        return None
    return trial.ttft_ns + round(trial.n_expected * 1e9 / trial.decode_tps)
