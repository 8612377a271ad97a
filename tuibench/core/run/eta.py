"""How long a run may still take, from what it has shown so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tuibench.core.run.control import is_control, method_of
from tuibench.core.run.events import Phase
from tuibench.core.run.host import without_host
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.shape import Shape
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


@dataclass(frozen=True, slots=True)
class MethodCost:
    """What a method took before."""

    load_ns: int
    ttft_ns: int
    step_ns: float
    """Mean gap between tokens."""
    scoring_ns: int | None
    """None where its quality was not scored."""
    n_prompt: int | None = None
    """Tokens of the prompt that `ttft_ns` is of; None where nobody knows."""

    def trial_ns(self, shape: Shape) -> float:
        """Return what a trial will take: a longer prompt longer, in proportion; depth is filled as a prompt is read."""
        n_read = shape.n_users * (shape.depth_tokens + (shape.prompt_tokens or 0))
        longer = max(1.0, n_read / self.n_prompt) if self.n_prompt else 1.0
        return self.ttft_ns * longer + shape.max_new_tokens * self.step_ns


def costs_of(trials: Iterable[TrialRecord], quality: Iterable[QualityRecord]) -> dict[str, MethodCost]:
    """Return what the methods of a run took; a method without a measured trial is missing."""
    scoring_ns = {record.method: record.duration_ns for record in quality}
    loads_ns: dict[str, list[int]] = {}
    latest: dict[str, TrialRecord] = {}
    for trial in trials:
        loads_ns.setdefault(trial.method, []).extend([trial.load_ns] if trial.load_ns else [])
        if not trial.warmup and not trial.failed and trial.step_ns:
            latest[trial.method] = trial
    return {
        name: MethodCost(
            round(median(loads_ns[name] or [0])),
            trial.ttft_ns or 0,
            fmean(trial.step_ns),
            scoring_ns.get(name),
            trial.n_prompt,
        )
        for name, trial in latest.items()
    }


def planned_ns(
    costs: Mapping[str, MethodCost], methods: Iterable[str], *, shapes: Sequence[Shape], n_trials: int, scored: bool
) -> int | None:
    """Return what a run will take, by what its methods took before; None where nothing is known of any.

    A method of which nothing is known is taken to be as slow as the slowest.
    """
    names = list(methods)
    known = [costs[method_of(name)] for name in names if method_of(name) in costs]
    if not known:
        return None
    scorings = [cost.scoring_ns for cost in known if cost.scoring_ns is not None]
    n_workers = len({shape.n_threads for shape in shapes})
    whole_ns = [n_workers * cost.load_ns + n_trials * sum(map(cost.trial_ns, shapes)) for cost in known]
    n_scored = sum(not is_control(name) for name in names) if scored else 0
    scoring_ns = sum(scorings[:n_scored]) + max(0, n_scored - len(scorings)) * max(scorings, default=0)
    return round(sum(whole_ns) + (len(names) - len(known)) * max(whole_ns) + scoring_ns)


def run_remaining_ns(state: RunState, scoring_ns: int = 0) -> int | None:
    """Return what is left of a run; None as long as nothing is known.

    A method that has not run yet is taken to be as slow as on another machine of the run, else as the slowest that has:
    later rungs of the ladder are faster, so the estimate shrinks rather than grows.

    Args:
        state: As far as the run is.
        scoring_ns: What scoring a method took before, as long as this run has scored none.
    """
    known = {name: ns for name, method in state.methods.items() if (ns := _trial_ns(method)) is not None}
    if not known:
        return None
    remaining_ns = 0
    for method in state.methods.values():
        n_left = 0 if method.dropped else method.n_planned - method.n_done
        trial_ns = known.get(method.method) or _elsewhere(method.method, known) or max(known.values())
        if method.running and method.trial is not None and n_left:
            n_left -= 0 if method.trial.warmup else 1
            remaining_ns += trial_remaining_ns(method.trial) or trial_ns
        remaining_ns += n_left * trial_ns
    return remaining_ns + _scoring_ns(state, scoring_ns)


def _scoring_ns(state: RunState, before_ns: int) -> int:
    """Return what is left of scoring: methods to come are taken to be as slow as `run_remaining_ns` says."""
    waiting = [method for method in state.methods.values() if state.scored and _to_be_scored(method)]
    known = {name: method.quality.duration_ns or 0 for name, method in state.methods.items() if method.quality}
    current_ns = 0
    for method in waiting:
        if method.scoring and method.trial is not None:
            current_ns = scoring_remaining_ns(method.trial) or 0
    to_come = [method.method for method in waiting if not method.scoring]
    slowest_ns = max((*known.values(), current_ns), default=0) or before_ns
    return current_ns + sum(_elsewhere(name, known) or slowest_ns for name in to_come)


def _elsewhere(row: str, known: Mapping[str, int]) -> int:
    """Return the most that a row's method took on other machines; 0 where it was on none."""
    return max((ns for other, ns in known.items() if without_host(other) == without_host(row)), default=0)


def _to_be_scored(method: MethodState) -> bool:
    wanted = bool(method.n_measured or not method.n_done) and not is_control(method.method)
    return wanted and method.quality is None and method.status is not MethodStatus.SKIPPED


def _trial_ns(method: MethodState) -> int | None:
    """Return how long one measured trial of a method takes, loading included as far as it was seen."""
    if method.slowest_ns is not None:
        return method.slowest_ns
    trial = method.trial
    if trial is None or trial.warmup or trial.decode_tps is None or trial.ttft_ns is None:
        return None
    return trial.ttft_ns + round(trial.n_expected * 1e9 / trial.decode_tps)
