"""The measured trials of one method in one run, and the gain of one such set over another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tuibench.core.results.drift import Drift, drift_of_speeds
from tuibench.core.results.metrics import DECODE, METRICS, TPOT, speed_tps
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.record import TrialRecord
from tuibench.core.statistics.stats import (
    MIN_TRIALS,
    Estimate,
    Ratio,
    estimate,
    outliers,
    ratio_by_round,
    ratio_of_medians,
)


@dataclass(frozen=True, slots=True)
class MethodTrials:
    """What was measured of one method of one run; no warm-up, no failure."""

    records: tuple[TrialRecord, ...] = ()
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    """By metric id; a metric that no trial has is missing."""
    speeds: tuple[float, ...] = ()
    """Decode speeds of the trials that have one."""
    rounds: tuple[int, ...] = ()
    """The round of each speed."""
    sittings: tuple[int, ...] = ()
    """How often the run had been resumed before each speed was measured."""

    def outlier_flags(self) -> list[str]:
        """Return a sentence for each trial whose speed is far from the others'."""
        far = outliers(self.speeds)
        return [f"trial {self.rounds[i] + 1} is an outlier ({self.speeds[i]:.3g} tok/s)" for i in far]


def by_method(trials: Iterable[TrialRecord], resumed: Sequence[datetime] = ()) -> dict[str, MethodTrials]:
    """Return the measured ones of a run's trials by their method.

    Args:
        trials: In the order they took place.
        resumed: When the run went on after an interruption, in order.
    """
    found: dict[str, list[TrialRecord]] = {}
    for record in trials:
        if not record.warmup and not record.failed:
            found.setdefault(record.method, []).append(record)
    return {method: _trials_of(records, resumed) for method, records in found.items()}


def _trials_of(records: Sequence[TrialRecord], resumed: Sequence[datetime]) -> MethodTrials:
    values: dict[str, list[float | None]] = {metric.id: [] for metric in METRICS}
    computed = [(metric.compute, values[metric.id]) for metric in METRICS if metric is not DECODE]
    for record in records:  # metric by metric would fetch a trial's numbers from memory once for each
        for compute, column in computed:
            column.append(compute(record))
    speeds = values[DECODE.id] = [speed_tps(gap_ns) for gap_ns in values[TPOT.id]]
    estimates = {name: estimate([each for each in column if each is not None]) for name, column in values.items()}
    timed = [record for record, speed in zip(records, speeds, strict=True) if speed]
    return MethodTrials(
        tuple(records),
        {name: found for name, found in estimates.items() if found is not None},
        speeds=tuple(speed for speed in speeds if speed),
        rounds=tuple(record.index for record in timed),
        sittings=tuple(bisect_right(resumed, record.finished) for record in timed),
    )


def ratio_within_run(ours: MethodTrials, theirs: MethodTrials) -> Ratio | None:
    """Return the ratio of decode speeds of two methods of one run, round by round where they share enough rounds.

    A round that an interruption tore apart pairs nothing across it: the machine of another day stands between. Of a
    method that left after a round or two, these are held against the same rounds: later ones may have found another
    machine.
    """
    if ours.rounds == theirs.rounds and ours.sittings == theirs.sittings and len(ours.rounds) >= MIN_TRIALS:
        return ratio_by_round(ours.speeds, theirs.speeds)
    by_round = dict(zip(zip(theirs.rounds, theirs.sittings, strict=True), theirs.speeds, strict=True))
    timed = zip(zip(ours.rounds, ours.sittings, strict=True), ours.speeds, strict=True)
    pairs = [(speed, by_round[taken]) for taken, speed in timed if taken in by_round]
    shared = [a for a, _ in pairs], [b for _, b in pairs]
    if len(pairs) >= MIN_TRIALS:
        return ratio_by_round(*shared)
    if pairs and len(pairs) == min(len(ours.rounds), len(theirs.rounds)):
        return ratio_of_medians(*shared)
    return ratio_between_runs(ours, theirs)


def ratio_between_runs(ours: MethodTrials, theirs: MethodTrials) -> Ratio | None:
    """Return the ratio of decode speeds of two methods that were not measured side by side."""
    return ratio_of_medians(ours.speeds, theirs.speeds)


def drift_of_run(trials: Iterable[TrialRecord], measured: Mapping[str, MethodTrials]) -> Drift | None:
    """Return the drift of a run's machine from the speeds that were taken already, in the order of its trials.

    A server that becomes slower says nothing about it: perhaps it is on another.
    """
    speeds = {name: each.speeds for name, each in measured.items() if not lacks(name, Need.WATCHED_MACHINE)}
    timed = (record for record in trials if not record.warmup and not record.failed and any(record.step_ns))
    return drift_of_speeds(speeds, (record.method for record in timed if record.method in speeds))
