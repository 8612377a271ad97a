"""The measured trials of one method in one run, and the gain of one such set over another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tuibench.core.drift import Drift, drift_of_speeds
from tuibench.core.metrics import DECODE, METRICS, Metric
from tuibench.core.record import TrialRecord
from tuibench.core.stats import MIN_TRIALS, Estimate, Ratio, estimate, outliers, ratio_by_round, ratio_of_medians


@dataclass(frozen=True, slots=True)
class MethodTrials:
    """What was measured of one method of one run; no warm-up, no failure."""

    records: tuple[TrialRecord, ...] = ()
    speeds: tuple[tuple[int, float], ...] = ()
    """Decode speeds with their rounds: taken once, since every gain needs them."""

    def estimates(self) -> dict[str, Estimate]:
        """Return the median of each metric by its id; a metric that no trial has is missing."""
        speeds = [speed for _, speed in self.speeds]
        values = ((metric.id, speeds if metric is DECODE else _values(metric, self.records)) for metric in METRICS)
        return {metric_id: found for metric_id, each in values if (found := estimate(each)) is not None}

    def outlier_flags(self) -> list[str]:
        """Return a sentence for each trial whose speed is far from the others'."""
        far = (self.speeds[i] for i in outliers([speed for _, speed in self.speeds]))
        return [f"trial {index + 1} is an outlier ({speed:.3g} tok/s)" for index, speed in far]


def by_method(trials: Iterable[TrialRecord]) -> dict[str, MethodTrials]:
    """Return the measured ones of a run's trials by their method."""
    found: dict[str, list[TrialRecord]] = {}
    for record in trials:
        if not record.warmup and not record.failed:
            found.setdefault(record.method, []).append(record)
    return {method: _trials_of(records) for method, records in found.items()}


def _trials_of(records: Sequence[TrialRecord]) -> MethodTrials:
    speeds = ((record.index, speed) for record in records if (speed := DECODE.compute(record)))
    return MethodTrials(tuple(records), tuple(speeds))


def _values(metric: Metric, records: Sequence[TrialRecord]) -> list[float]:
    compute = metric.compute
    return [value for record in records if (value := compute(record)) is not None]


def ratio_within_run(ours: MethodTrials, theirs: MethodTrials) -> Ratio | None:
    """Return the ratio of decode speeds of two methods of one run, round by round where they share enough rounds."""
    by_round = dict(theirs.speeds)
    pairs = [(speed, by_round[index]) for index, speed in ours.speeds if index in by_round]
    if len(pairs) < MIN_TRIALS:
        return ratio_between_runs(ours, theirs)
    return ratio_by_round([a for a, _ in pairs], [b for _, b in pairs])


def ratio_between_runs(ours: MethodTrials, theirs: MethodTrials) -> Ratio | None:
    """Return the ratio of decode speeds of two methods that were not measured side by side."""
    return ratio_of_medians([speed for _, speed in ours.speeds], [speed for _, speed in theirs.speeds])


def drift_of_run(trials: Iterable[TrialRecord], measured: Mapping[str, MethodTrials]) -> Drift | None:
    """Return the drift of a run from the speeds that were taken already, in the order of its trials."""
    speeds = {method: iter(each.speeds) for method, each in measured.items()}
    timed = (record for record in trials if not record.warmup and not record.failed and any(record.step_ns))
    return drift_of_speeds([(record.method, next(speeds[record.method])[1]) for record in timed])
