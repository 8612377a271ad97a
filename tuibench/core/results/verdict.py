"""What the numbers mean: one sentence per method, and which one to take, with the rule that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import NEGLIGIBLE_KLD, REFERENCE, Comparison, Row
from tuibench.core.results.evidence import Evidence, Grade, evidence
from tuibench.core.results.metrics import DECODE, PEAK_RSS, TTFT, Metric
from tuibench.core.results.multiplicity import adjusted_p_values, stands
from tuibench.core.run.control import is_control
from tuibench.core.run.endpoint import NO_QUALITY, is_endpoint
from tuibench.core.statistics.stats import Outcome, Ratio

MAX_KLD = 0.05
"""Nats per token: the divergence up to which a method is recommended."""

_NOTABLY_LESS = 0.95
"""Share of the fastest method's memory below which a smaller one is worth a word."""


def method_sentence(comparison: Comparison, row: Row) -> str:
    """Return what one method achieves against the comparison's baseline, and whether that can be trusted.

    For example `int8-dynamic: 5.40× kv-cache [5.10, 5.80], TTFT −31 %, peak RSS −61 %, KLD 0.0040 ± 0.0010,
    top-1 96.5 %, first difference at token 31 · valid`.
    """
    if not row.n_trials:
        return fmt.printable(f"{row.method}: {_why_nothing(row)}")
    parts = [_speed(comparison, row), *_changes(comparison, row), *_quality(row)]
    return fmt.printable(f"{row.method}: {', '.join(part for part in parts if part)} · {_validity(row)}")


def _why_nothing(row: Row) -> str:
    failure = row.failure
    return f"{failure.failure_kind}: {failure.failure_message}" if failure else "not measured"


def _speed(comparison: Comparison, row: Row) -> str:
    if is_control(row.method):
        return _same_again(row)
    against = row.against_baseline
    if against is None:
        speed = fmt.rate(row.median(DECODE))
        if row.method == comparison.baseline:
            return f"{speed}, the baseline"
        beside = comparison.baseline in comparison.measured[row.run]
        return speed if beside else f"{speed}, {comparison.baseline} not measured beside it"
    text = f"{fmt.times(against.ratio.value)} {against.method}"
    together = adjusted_p_values(comparison, row.run)
    if against.ratio.outcome in {Outcome.GREATER, Outcome.LESS} and not stands(together[row.method]):
        interval = fmt.interval(against.ratio.low, against.ratio.high)
        return f"{text} {interval} (perhaps chance: one of {len(together)} comparisons)"
    return f"{text} {interval_and_outcome(against.ratio)}"


def _same_again(row: Row) -> str:
    """Return how far a method is from itself in this run."""
    if row.step is None:
        return fmt.rate(row.median(DECODE))
    text = f"{fmt.times(row.step.ratio.value)} {row.step.method}, the same method"
    if row.step.ratio.outcome in {Outcome.GREATER, Outcome.LESS}:
        interval = fmt.interval(row.step.ratio.low, row.step.ratio.high)
        return f"{text} {interval}: a difference as small as this proves nothing in this run"
    return f"{text} {interval_and_outcome(row.step.ratio)}"


def interval_and_outcome(ratio: Ratio) -> str:
    """Return what can be said of a ratio besides its value: its interval, or why there is none."""
    match ratio.outcome:
        case Outcome.UNKNOWN:
            return "(too few trials to tell)"
        case Outcome.NONE:
            return f"{fmt.interval(ratio.low, ratio.high)} (no difference)"
        case _:
            return fmt.interval(ratio.low, ratio.high)


def _changes(comparison: Comparison, row: Row) -> list[str]:
    """Return how first token and memory compare with the baseline's."""
    if row.against_baseline is None:
        return [f"{metric.short} {fmt.metric(metric, row.median(metric))}" for metric in _told_of(row)]
    base = comparison.row(row.run, row.against_baseline.method)
    if base is None:
        return []
    return [_change(metric, row, base) for metric in _told_of(row)]


def _told_of(row: Row) -> tuple[Metric, ...]:
    """Return the metrics besides the speed: the memory of a server's process is nowhere to be read."""
    return (TTFT,) if is_endpoint(row.method) else (TTFT, PEAK_RSS)


def _change(metric: Metric, row: Row, base: Row) -> str:
    ours, theirs = row.median(metric), base.median(metric)
    return f"{metric.short} {fmt.change(ours / theirs - 1)}" if ours is not None and theirs else ""


def _quality(row: Row) -> list[str]:
    parts = []
    if row.quality is None:
        if is_endpoint(row.method):
            parts.append(NO_QUALITY)
        elif row.method != REFERENCE and not is_control(row.method):
            parts.append("quality not measured")
    elif row.quality.failed:
        parts.append(f"quality failed ({row.quality.failure_message or row.quality.failure_kind})")
    else:
        quality = row.quality
        if quality.kld_mean is not None and row.method != REFERENCE:
            parts.append(f"KLD {fmt.divergence(quality.kld_mean, quality.kld_mean_se)}")
        if quality.top1 is not None and row.method != REFERENCE:
            parts.append(f"top-1 {fmt.share(quality.top1)}")
        if quality.perplexity is not None and row.method == REFERENCE:
            parts.append(f"perplexity {quality.perplexity:.2f}")
    if row.agreement is not None:
        index = row.agreement.first_divergence
        parts.append("text identical" if index is None else f"first difference at {row.agreement.unit} {index + 1}")
    return parts


def _validity(row: Row) -> str:
    if row.not_same_model:
        return f"not the same model: {row.not_same_model}"
    if row.flags:
        more = f" and {len(row.flags) - 1} more" if len(row.flags) > 1 else ""
        return f"doubtful: {row.flags[0]}{more}"
    if row.lamp is None:
        return "its machine was not watched" if is_endpoint(row.method) else "validity not recorded"
    return "valid" if row.lamp is Lamp.GREEN else "disturbed"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which method to take, and how sure that is."""

    grade: Grade | None
    """None where there is nothing to choose from: nothing was measured, or nothing is close enough."""
    because: tuple[str, ...]
    """What speaks against a better grade."""
    fastest: str | None
    """The fastest whose divergence is small enough; without quality figures None."""
    identical: str | None
    """The fastest that writes what the reference writes."""
    smallest: str | None
    """The least memory among those whose divergence is small enough."""
    pareto: tuple[str, ...]
    """Those that no other beats in both speed and divergence, fastest first."""
    unjudged: Mapping[str, str]
    """Why a method could not be recommended whatever its speed, by its name."""
    headline: str
    """The choice in a line, its grade first."""
    remarks: tuple[str, ...]
    """What else to know before following it."""

    @property
    def recommended(self) -> str | None:
        """The method that the headline names to be taken; None where it cannot tell."""
        return self.fastest if self.grade in {Grade.TAKE, Grade.PROBABLY} else None

    @property
    def details(self) -> tuple[str, ...]:
        """The remarks and the Pareto set, as text."""
        pareto = (f"Pareto set: {fmt.printable(', '.join(self.pareto))}",) if self.pareto else ()
        return (*self.remarks, *pareto)

    @property
    def sentence(self) -> str:
        """All of it."""
        return "; ".join((self.headline, *self.details))


def recommend(comparison: Comparison, run: int = 0, max_kld: float = MAX_KLD) -> Recommendation:
    """Return what to take of one run.

    The rule: of the methods whose mean KL divergence from FP32 is at most `max_kld`, the one with the highest median
    decode speed. How sure that is, its `Grade` says. Without quality figures nothing is recommended, only the fastest
    named.
    """
    rows = [row for row in comparison.of_run(run) if _may_be_taken(row)]
    rows.sort(key=lambda row: -(row.median(DECODE) or 0))
    exact = next((row.method for row in rows if _writes_the_same(row)), None)
    endpoints = [row for row in comparison.of_run(run) if is_endpoint(row.method) and row.median(DECODE)]
    scored = any(row.kld is not None for row in rows)
    unjudged = {row.method: why for row in comparison.of_run(run) if (why := _why_unjudged(row, scored=scored))}
    good = [row for row in rows if not scored or _close_enough(row, max_kld)]
    found: Evidence | None = None
    if good:
        faster = [row.method for row in rows[: rows.index(good[0])] if row.method in unjudged]
        bound, rival = max_kld if scored else None, _rival(comparison, good)
        found = evidence(comparison, good, rival=rival, unjudged=faster, max_kld=bound)
    small = min((row for row in good if row.median(PEAK_RSS)), key=lambda row: row.median(PEAK_RSS) or 0, default=None)
    nothing = (
        f"nothing to recommend: {NO_QUALITY}" if endpoints else "nothing was measured: there is nothing to recommend"
    )
    headline = _headline(found, rows, good, max_kld) if rows else nothing
    remarks = _remarks(found, good, exact, small, unjudged) if rows or endpoints else []
    return Recommendation(
        grade=found.grade if found else None,
        because=tuple(map(fmt.printable, found.because)) if found else (),
        fastest=good[0].method if good and scored else None,
        identical=exact,
        smallest=small.method if small and scored else None,
        pareto=tuple(row.method for row in rows if row.best_for_its_quality),
        unjudged=unjudged,
        headline=fmt.printable(headline),
        remarks=tuple(map(fmt.printable, remarks)),
    )


def _why_unjudged(row: Row, *, scored: bool) -> str | None:
    """Return what keeps a method from being recommended; where nothing was scored, no method is to blame."""
    if is_control(row.method):
        return None
    if row.median(DECODE) is None:
        kind = row.failure.failure_kind if row.failure else None
        return kind.value if kind else "not measured"
    if row.not_same_model:
        return "not the same model"
    if is_endpoint(row.method):
        return f"not judged: {NO_QUALITY}"
    if not scored or row.kld is not None or row.method == REFERENCE:
        return None
    return "quality failed" if row.quality is not None else "quality not measured"


def _may_be_taken(row: Row) -> bool:
    other = is_control(row.method) or is_endpoint(row.method)
    return bool(row.median(DECODE)) and not row.not_same_model and not other


def _close_enough(row: Row, max_kld: float) -> bool:
    return row.method == REFERENCE or (row.kld is not None and row.kld <= max_kld)


def _writes_the_same(row: Row) -> bool:
    if row.method == REFERENCE:
        return True
    same_text = row.agreement is not None and row.agreement.first_divergence is None
    return same_text and (row.kld is None or row.kld <= NEGLIGIBLE_KLD)


def _rival(comparison: Comparison, good: Sequence[Row]) -> str | None:
    """Return the fastest of the others that the fastest is not told apart from."""
    best, *others = good
    ratios = {row.method: comparison.speed_ratio(best.run, best.method, row.method) for row in others}
    return next((method for method, ratio in ratios.items() if _no_slower(ratio)), None)


def _no_slower(ratio: Ratio | None) -> bool:
    return ratio is not None and ratio.outcome in {Outcome.NONE, Outcome.UNKNOWN}


def _headline(found: Evidence | None, rows: Sequence[Row], good: Sequence[Row], max_kld: float) -> str:
    if found is None:
        return f"no method lies within KLD ≤ {max_kld:g}; fastest: {rows[0].method}"
    best, reasons = good[0].method, ", and ".join(found.because)
    match found.grade:
        case Grade.TAKE:
            return f"take {best}: fastest within KLD ≤ {max_kld:g}"
        case Grade.PROBABLY:
            return f"probably {best}: fastest within KLD ≤ {max_kld:g}, but {reasons}"
        case Grade.CANNOT_TELL:
            return f"cannot tell: measure again, because {reasons}"


def _remarks(
    found: Evidence | None, good: Sequence[Row], exact: str | None, small: Row | None, unjudged: Mapping[str, str]
) -> list[str]:
    parts = []
    if found is not None:
        best = good[0]
        if found.example:
            parts.append(f"disturbed, for example: {found.example}")
        if found.grade is Grade.CANNOT_TELL:
            apart = f", not told apart from {found.rival}" if found.rival else ""
            parts.append(f"fastest so far: {best.method}{apart}")
        if exact and exact != best.method:
            sure = found.grade is not Grade.CANNOT_TELL and exact not in unjudged
            same_text = f"fastest with {REFERENCE}'s text: {exact}"
            parts.append(f"{exact} if the output must be identical" if sure else same_text)
        if small and (small.median(PEAK_RSS) or 0) < _NOTABLY_LESS * (best.median(PEAK_RSS) or 0):
            parts.append(f"smallest: {small.method} ({fmt.size(small.median(PEAK_RSS))})")
    by_reason: dict[str, list[str]] = {}
    for method, reason in unjudged.items():
        by_reason.setdefault(reason, []).append(method)
    if by_reason:
        told = ", ".join(f"{', '.join(methods)} ({reason})" for reason, methods in by_reason.items())
        parts.append(f"left out: {told}")
    return parts


def headlines(comparison: Comparison) -> list[str]:
    """Return a line for each run, beside its label where there are several: what any account of them begins with."""
    return [
        f"{label_before(comparison, run)}{recommend(comparison, run).headline}" for run in range(len(comparison.runs))
    ]


def recommendation_lines(comparison: Comparison) -> list[str]:
    """Return the same with all remarks: what an account that scrolls away ends with."""
    return [
        f"{label_before(comparison, run)}{recommend(comparison, run).sentence}" for run in range(len(comparison.runs))
    ]


def label_before(comparison: Comparison, run: int) -> str:
    """Return what to write before a sentence about a run; nothing where it is the only one."""
    return f"{fmt.printable_line(comparison.runs[run].label)}: " if len(comparison.runs) > 1 else ""


def verdict_lines(comparison: Comparison, run: int = 0) -> list[str]:
    """Return the sentences of one run: its methods, and a drift if there was one."""
    lines = [method_sentence(comparison, row) for row in comparison.of_run(run)]
    drifted = comparison.drifts[run]
    if drifted is not None:
        faster = "faster" if drifted.change > 0 else "slower"
        lines.append(
            f"drift: the machine became {abs(drifted.change):.0%} {faster} during the run "
            f"(p = {drifted.p_value:.3f}), most of it at trial {drifted.at_trial} of {drifted.n_trials}"
        )
    return lines
