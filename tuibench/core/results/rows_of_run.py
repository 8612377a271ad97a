"""The rows of a run: each method's trials beside those of its rungs, of the yardstick and of an earlier run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tuibench.core.machine.validity import Lamp
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.method_trials import MethodTrials, ratio_between_runs, ratio_within_run
from tuibench.core.results.metrics import DECODE, first_divergence
from tuibench.core.results.roofline import Roofline, roofline
from tuibench.core.results.row import NEGLIGIBLE_KLD, REFERENCE, Agreement, Row, Speedup
from tuibench.core.results.rungs import nearest_rungs
from tuibench.core.results.same_model import SameModel, same_model, wrong_length
from tuibench.core.run.control import is_control
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.users import users_of
from tuibench.core.statistics.stats import percentiles


@dataclass(frozen=True, slots=True)
class RowsOfRun:
    """What the rows of one run are made from."""

    number: int
    """Of the run in its comparison."""
    run: MeasuredRun
    measured: Mapping[str, MethodTrials]
    """By method, without those that have no trial."""
    first: Mapping[str, MethodTrials] | None
    """The same of the run that this one is held against; None where it is that one itself."""
    parents: Mapping[str, str | None]
    exact: Collection[str]
    yardstick: str | None

    def rows(self) -> list[Row]:
        """Return a row for each method that was asked for or measured."""
        methods = dict.fromkeys((*self.run.methods, *(record.method for record in self.run.trials)))
        return _with_pareto([self._row(method) for method in methods])

    def _row(self, method: str) -> Row:
        trials = self.measured.get(method, MethodTrials())
        records = trials.records
        rungs = [rung for rung in nearest_rungs(method, self.parents) if rung in self.measured]
        others = {*rungs[:1], *rungs[-1:], self.yardstick} - {method}
        against = {other: self._against(other, trials) for other in others}
        first = self.first.get(method) if self.first is not None else None
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
            itl_ns=percentiles(_gaps_ns(records) if one_by_one else []),
            step=against[rungs[0]] if rungs else None,
            total=against[rungs[-1]] if rungs else None,
            against_yardstick=against.get(self.yardstick),
            vs_first_session=ratio_between_runs(trials, first) if first else None,
            quality=quality,
            agreement=self._agreement(method, records),
            roofline=self._roofline(method, trials),
            failure=next((each for each in reversed(self.run.trials) if each.failed and each.method == method), None),
            lamp=_worst_lamp(records, doubted=bool(doubts)),
            flags=(*doubts, *reasons, *trials.outlier_flags()),
            doubts=doubts,
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
        theirs = None if method is None else self.measured.get(method)
        ratio = ratio_within_run(ours, theirs) if theirs else None
        return Speedup(method, ratio) if method and ratio else None

    def _identity(self, method: str, records: Sequence[TrialRecord], quality: QualityRecord | None) -> SameModel:
        reference = self.measured.get(REFERENCE)
        if method not in self.exact or method == REFERENCE or not records:
            return SameModel(same=None)
        return same_model(records if self.run.greedy else (), reference.records if reference else (), quality)

    def _wrong_lengths(self, records: Sequence[TrialRecord]) -> tuple[str, ...]:
        """Return what is wrong with the lengths of greedy trials: who does less work is not faster."""
        asked = self.run.n_asked if self.run.greedy else None
        found = [wrong_length(record, asked * (record.n_users or 1)) for record in records] if asked is not None else []
        return tuple(dict.fromkeys(filter(None, found)))

    def _agreement(self, method: str, records: Sequence[TrialRecord]) -> Agreement | None:
        reference = self.measured.get(REFERENCE)
        if not self.run.greedy or not records or not reference or method == REFERENCE:
            return None
        ours, theirs = records[0], reference.records[0]
        index = first_divergence(ours, theirs)
        if ours.text_only or theirs.text_only:
            return Agreement(index, min(len(ours.text), len(theirs.text)), "character")
        return Agreement(index, min(ours.n_gen, theirs.n_gen))


def _worst_lamp(records: Iterable[TrialRecord], *, doubted: bool) -> Lamp | None:
    """Return the worst lamp of some trials; one whose work is doubted is not clean, however quiet the machine was."""
    lamps = {record.lamp for record in records}
    worst = next((lamp for lamp in (Lamp.RED, Lamp.YELLOW, Lamp.GREEN) if lamp in lamps), None)
    return Lamp.YELLOW if doubted and worst is Lamp.GREEN else worst


def _gaps_ns(records: Iterable[TrialRecord]) -> list[int]:
    """Return the gaps between tokens; of several users those that each of them saw."""
    return [gap for record in records for user in users_of(record) for gap in user.step_ns]


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
