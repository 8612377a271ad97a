"""The one structure behind every table, plot and verdict: what each method of each run achieved, and against what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Literal

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.drift import Drift
from tuibench.core.results.method_trials import (
    MethodTrials,
    by_method,
    drift_of_run,
    ratio_between_runs,
    ratio_within_run,
)
from tuibench.core.results.metrics import DECODE, Metric, first_divergence
from tuibench.core.results.observer import observer_share
from tuibench.core.results.roofline import Roofline, roofline
from tuibench.core.results.same_model import MOST_KLD, SameModel, same_model, wrong_length
from tuibench.core.run.control import is_control, method_of
from tuibench.core.run.endpoint import is_endpoint
from tuibench.core.run.host import THIS_MACHINE, on_host
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.shape import Shape, describe, swept_axes
from tuibench.core.run.state import RunState
from tuibench.core.statistics.stats import Estimate, Ratio, percentiles

REFERENCE = "kv-cache"
"""The FP32 method that quality and text are compared with."""

NEGLIGIBLE_KLD = MOST_KLD
"""Nats per token: below it lies the rounding of another order of summation, which makes no method the better one."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run, live or stored, as far as it has come."""

    label: str
    """What tells it from the others: a session's name."""
    methods: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    """In the order they took place; warm-ups and failures included."""
    quality: tuple[QualityRecord, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What may differ between runs, as text: model, prompt, threads."""
    machine: MachineHeader | None = None
    """None where it is not known: there is no roofline and no observer cost then."""
    n_threads: int = 1
    greedy: bool = True
    """Whether tokens were the most likely ones, so that texts can be compared."""
    n_asked: int | None = None
    """Tokens that each measured trial was to generate; None where it is not known."""
    resumed: tuple[datetime, ...] = ()
    """When it went on after an interruption, in order."""
    created: datetime | None = None
    """When it was begun; None where it is not known."""
    prompt: str | None = None
    """The whole of it; None where it is not known."""
    shape: Shape | None = None
    """Which part of a sweep it is; None for a run of one shape."""
    host: str | None = None
    """Of a run on several machines, which one this is; None for a run on one."""
    price_per_hour: float | None = None
    """Of the machine, in whatever currency."""


def run_of_state(state: RunState, label: str = "") -> MeasuredRun:
    """Return a run as far as its state knows it; of a sweep, what was measured of the shape that has its turn."""
    run = _whole_run(state, label)
    return run if state.shape is None else _of_shape(run, state.shape, _trials_by_shape(run.trials))


def runs_of_state(state: RunState) -> list[MeasuredRun]:
    """Return a run as far as its state knows it, a sweep shape by shape."""
    return by_shape(_whole_run(state, ""), state.shapes)


def _whole_run(state: RunState, label: str) -> MeasuredRun:
    return MeasuredRun(
        label,
        tuple(state.methods),
        tuple(sorted(state.records, key=lambda record: record.finished)),
        tuple(found for method in state.methods.values() if (found := method.quality) is not None),
        machine=state.machine,
        n_threads=state.n_threads,
        greedy=state.greedy,
    )


def by_shape(run: MeasuredRun, shapes: Sequence[Shape]) -> list[MeasuredRun]:
    """Return a run of several shapes as one run each, called after what tells them apart; a run of one as it is."""
    axes, trials = swept_axes(shapes), _trials_by_shape(run.trials)
    runs = []
    for shape in shapes:
        words = describe(shape, axes)
        label = f"{run.label} · {words}" if run.label and words else run.label or words
        runs.append(_of_shape(replace(run, label=label), shape, trials))
    return runs or [run]


_ByShape = Mapping[Shape | int | None, list[TrialRecord]]
"""A shape's trials, and under a number of threads the warm-up trials of all shapes with so many."""


def _trials_by_shape(trials: Iterable[TrialRecord]) -> _ByShape:
    found: dict[Shape | int | None, list[TrialRecord]] = {}
    for record in trials:
        found.setdefault(record.n_threads if record.warmup else record.shape, []).append(record)
    return found


def _of_shape(run: MeasuredRun, shape: Shape, trials: _ByShape) -> MeasuredRun:
    """Return what of a sweep is of one shape.

    The warm-up trials of all shapes with its threads are part of it: they tell what a worker tells once.
    """
    own = [*trials.get(shape.n_threads, ()), *trials.get(shape, ())]
    facts = {**run.facts, "threads": str(shape.n_threads), "tokens": str(shape.max_new_tokens)} if run.facts else {}
    if facts and shape.prompt_tokens is not None:
        facts["prompt"] = f"{shape.prompt_tokens} tokens"
    if facts and shape.depth_tokens:
        facts["depth"] = str(shape.depth_tokens)
    return replace(
        run,
        trials=tuple(sorted(own, key=attrgetter("finished"))),
        facts=facts,
        n_threads=shape.n_threads,
        n_asked=shape.max_new_tokens,
        prompt=None if shape.prompt_tokens is not None else run.prompt,
        shape=shape,
    )


@dataclass(frozen=True, slots=True)
class Speedup:
    """A decode speed relative to another row's."""

    method: str
    """The other row's method."""
    ratio: Ratio


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a greedy output follows the reference's."""

    first_divergence: int | None
    """Index of the first token that differs; None: none does."""
    n_compared: int
    """Tokens that both have."""
    unit: Literal["token", "character"] = "token"
    """What both are counted in: characters where one of the methods hands out text and no tokens."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method of one run."""

    run: int
    """Index into `Comparison.runs`."""
    method: str
    n_trials: int
    """Measured trials that went well."""
    metrics: Mapping[str, Estimate]
    """By metric id; a metric that no trial has is missing."""
    itl_ns: Mapping[float, float | None]
    """Percentiles of the gaps between tokens, all trials together; None where they are too few (MLPerf's rule), and of
    a method whose tokens do not come one by one."""
    step: Speedup | None = None
    """Gain over the nearest measured rung below."""
    total: Speedup | None = None
    """Gain over the lowest measured rung below."""
    against_baseline: Speedup | None = None
    """Gain over the comparison's baseline; None in a run that did not measure it, whose speeds were of another day."""
    vs_first_session: Ratio | None = None
    """Speed relative to the same method in the first run of the same shape; None in that run itself."""
    quality: QualityRecord | None = None
    """With a failed record, why there are no figures."""
    agreement: Agreement | None = None
    """None for the reference itself, without it, and where tokens were drawn at random."""
    roofline: Roofline | None = None
    """How much of the machine's read bandwidth decoding used; None unless bytes and bandwidth are known."""
    failure: TrialRecord | None = None
    """The latest failed trial."""
    lamp: Lamp | None = None
    """The worst of its trials; None where none was judged."""
    flags: tuple[str, ...] = ()
    """Reasons to distrust the row, each once."""
    not_same_model: str | None = None
    """Why an FP32 method fails the test of being the reference's model; None where it does not."""
    best_for_its_quality: bool = False
    """Whether no other row of the run is both as fast and as close to the reference."""

    def median(self, metric: Metric) -> float | None:
        """Return the median of a metric; None where no trial has it."""
        found = self.metrics.get(metric.id)
        return found.median if found else None

    @property
    def kld(self) -> float | None:
        """Mean KL divergence from the reference, in nats per token."""
        return self.quality.kld_mean if self.quality and not self.quality.failed else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Any number of runs, row by row."""

    runs: tuple[MeasuredRun, ...]
    rows: tuple[Row, ...]
    """Run by run, in the order of its methods."""
    baseline: str | None
    """The method that `Row.against_baseline` refers to; None where nothing was measured."""
    drifts: tuple[Drift | None, ...]
    """Of each run."""
    measured: tuple[Mapping[str, MethodTrials], ...]
    """Of each run, what was measured of its methods; a method without a measured trial is missing."""

    def held_against(self, run: int) -> int:
        """Return the first run of the same shape, which is the first of all where no run is a part of a sweep."""
        return _first_alike(self.runs, run)

    def of_run(self, run: int) -> tuple[Row, ...]:
        """Return the rows of one run."""
        return tuple(row for row in self.rows if row.run == run)

    def observer_share(self, run: int, method: str | None = None) -> float | None:
        """Return what watching a run, or one of its methods, used of the CPUs; None where that was not recorded."""
        found = self.runs[run]
        measured = (each for each in found.trials if not each.warmup and method in {None, each.method})
        return observer_share(measured, found.machine.capacity_cpus) if found.machine else None

    def speed_ratio(self, run: int, ours: str, theirs: str) -> Ratio | None:
        """Return the ratio of decode speeds of any two methods of one run; None where either has none."""
        measured = self.measured[run]
        return ratio_within_run(measured.get(ours, MethodTrials()), measured.get(theirs, MethodTrials()))

    def name(self, row: Row) -> str:
        """Return what a row is called among those of all machines of its run."""
        host = self.runs[row.run].host
        return on_host(row.method, None if host == THIS_MACHINE else host)

    def row(self, run: int, method: str) -> Row | None:
        """Return the row of a method in a run."""
        return next((row for row in self.rows if (row.run, row.method) == (run, method)), None)


class UnknownBaselineError(ValueError):
    """A baseline was asked for that no run measured."""


def compare(
    runs: Sequence[MeasuredRun],
    *,
    parents: Mapping[str, str | None],
    exact: Collection[str] = (),
    baseline: str | None = None,
) -> Comparison:
    """Compare all methods of all runs.

    Args:
        runs: The first is what the others are compared with.
        parents: The ladder: each method's next rung down; None for the lowest.
        exact: Methods that promise the reference's model, bit by bit or nearly so; those that break it are marked.
        baseline: The method that all others are compared with; by default the FP32 reference where it was measured,
            else the first method that has no lower rung.

    Raises:
        UnknownBaselineError: No run has a successful trial of `baseline`.
    """
    measured = [by_method(run.trials, run.resumed) for run in runs]
    if baseline is not None and not any(baseline in methods for methods in measured):
        known = ", ".join(dict.fromkeys(method for methods in measured for method in methods))
        raise UnknownBaselineError(f"baseline {baseline!r} was not measured; measured: {known or 'nothing'}")
    baseline = baseline or default_baseline((method for methods in measured for method in methods), parents)
    rows: list[Row] = []
    for number, run in enumerate(runs):
        failures = {record.method: record for record in run.trials if record.failed}
        first = _first_alike(runs, number)
        builder = _Rows(number, first, run, measured, failures, parents, exact, baseline)
        rows.extend(_with_pareto([builder.row(method) for method in _methods(run)]))
    return Comparison(
        tuple(runs),
        tuple(rows),
        baseline,
        tuple(drift_of_run(run.trials, trials) for run, trials in zip(runs, measured, strict=True)),
        tuple(measured),
    )


def _first_alike(runs: Sequence[MeasuredRun], run: int) -> int:
    return next(number for number, other in enumerate(runs) if other.shape == runs[run].shape)


def nearest_rungs(method: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    """Yield the rungs below a method, nearest first; a control's nearest is the method that it measures again."""
    if is_control(method):
        method = method_of(method)
        yield method
    seen = {method}
    while (below := parents.get(method)) is not None and below not in seen:
        yield below
        seen.add(below)
        method = below


def pareto(points: Mapping[str, tuple[float, float]]) -> frozenset[str]:
    """Return the names of those (speed, divergence) points that no other beats in one without losing in the other."""

    def beaten(name: str) -> bool:
        speed, divergence = points[name]
        return any(
            (s >= speed and d <= divergence) and (s, d) != (speed, divergence)
            for other, (s, d) in points.items()
            if other != name
        )

    return frozenset(name for name in points if not beaten(name))


def _methods(run: MeasuredRun) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*run.methods, *(record.method for record in run.trials))))


def default_baseline(methods: Iterable[str], parents: Mapping[str, str | None]) -> str | None:
    """Return the method that others are compared with unless somebody names another; None without methods."""
    given = dict.fromkeys(method for method in methods if not is_control(method))
    if REFERENCE in given:
        return REFERENCE
    # A server of which nobody knows what it computes is compared with only where there is nothing else.
    known = [method for method in given if not is_endpoint(method)] or list(given)
    return next((each for each in known if not any(rung in known for rung in nearest_rungs(each, parents))), None)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the rows of one run are made from."""

    number: int
    first: int
    """The number of the run that this one is held against."""
    run: MeasuredRun
    measured: Sequence[Mapping[str, MethodTrials]]
    failures: Mapping[str, TrialRecord]
    """The latest of each method."""
    parents: Mapping[str, str | None]
    exact: Collection[str]
    baseline: str | None

    def row(self, method: str) -> Row:
        here = self.measured[self.number]
        trials = here.get(method, MethodTrials())
        records = trials.records
        rungs = [rung for rung in nearest_rungs(method, self.parents) if rung in here]
        others = {*rungs[:1], *rungs[-1:], self.baseline} - {method}
        against = {other: self._against(other, trials) for other in others}
        first = self.measured[self.first].get(method) if self.number != self.first else None
        lamps = {record.lamp for record in records}
        reasons = dict.fromkeys(reason for record in records for reason in record.validity)
        quality = next((each for each in reversed(self.run.quality) if each.method == method), None)
        identity = self._identity(method, records, quality)
        doubts = self._wrong_lengths(records)
        if identity.same is None and identity.reason:
            doubts = (*doubts, identity.reason)
        one_by_one = all(record.n_told in {None, len(record.piece_chars)} for record in records)
        return Row(
            run=self.number,
            method=method,
            n_trials=len(records),
            metrics=trials.metrics,
            itl_ns=percentiles([gap for record in records for gap in record.step_ns] if one_by_one else []),
            step=against[rungs[0]] if rungs else None,
            total=against[rungs[-1]] if rungs else None,
            against_baseline=against.get(self.baseline),
            vs_first_session=ratio_between_runs(trials, first) if first else None,
            quality=quality,
            agreement=self._agreement(method, records),
            roofline=self._roofline(method, trials),
            failure=self.failures.get(method),
            lamp=next((lamp for lamp in (Lamp.RED, Lamp.YELLOW, Lamp.GREEN) if lamp in lamps), None),
            flags=(*doubts, *reasons, *trials.outlier_flags()),
            not_same_model=identity.reason if identity.same is False else None,
        )

    def _roofline(self, method: str, trials: MethodTrials) -> Roofline | None:
        machine = self.run.machine
        if machine is None or not machine.read_bytes_per_s or not trials.speeds:
            return None
        # Weights and cache are told once per worker, mostly with its warm-up.
        told = next((each for each in self.run.trials if each.method == method and each.weight_bytes is not None), None)
        speed_tps = trials.metrics[DECODE.id].median
        return roofline([told, *trials.records], machine, self.run.n_threads, speed_tps) if told else None

    def _against(self, method: str | None, ours: MethodTrials) -> Speedup | None:
        theirs = None if method is None else self.measured[self.number].get(method)
        ratio = ratio_within_run(ours, theirs) if theirs else None
        return Speedup(method, ratio) if method and ratio else None

    def _identity(self, method: str, records: Sequence[TrialRecord], quality: QualityRecord | None) -> SameModel:
        reference = self.measured[self.number].get(REFERENCE)
        if method not in self.exact or method == REFERENCE or not records:
            return SameModel(same=None)
        return same_model(records if self.run.greedy else (), reference.records if reference else (), quality)

    def _wrong_lengths(self, records: Sequence[TrialRecord]) -> tuple[str, ...]:
        """Return what is wrong with the lengths of greedy trials: who does less work is not faster."""
        asked = self.run.n_asked if self.run.greedy else None
        found = [wrong_length(record, asked) for record in records] if asked is not None else []
        return tuple(dict.fromkeys(filter(None, found)))

    def _agreement(self, method: str, records: Sequence[TrialRecord]) -> Agreement | None:
        reference = self.measured[self.number].get(REFERENCE)
        if not self.run.greedy or not records or not reference or method == REFERENCE:
            return None
        ours, theirs = records[0], reference.records[0]
        index = first_divergence(ours, theirs)
        if ours.text_only or theirs.text_only:
            return Agreement(index, min(len(ours.text), len(theirs.text)), "character")
        return Agreement(index, min(ours.n_gen, theirs.n_gen))


def _with_pareto(rows: list[Row]) -> list[Row]:
    points: dict[str, tuple[float, float]] = {}
    scored = any(row.kld is not None for row in rows)
    for row in rows:
        # The reference diverges from itself by nothing, measured or not.
        kld = row.kld if row.kld is not None or row.method != REFERENCE or not scored else 0.0
        speed = row.median(DECODE)
        if speed is not None and kld is not None and not is_control(row.method):
            points[row.method] = speed, kld if kld > NEGLIGIBLE_KLD else 0.0
    best = pareto(points)
    return [replace(row, best_for_its_quality=row.method in best) for row in rows]
