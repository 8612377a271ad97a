"""What the numbers mean: one sentence per method, and which one to take, with the rule that says so."""

from __future__ import annotations

from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.comparison import NEGLIGIBLE_KLD, REFERENCE, Comparison, Row
from tuibench.core.control import is_control
from tuibench.core.metrics import DECODE, PEAK_RSS, TTFT, Metric
from tuibench.core.multiplicity import adjusted_p_values, stands
from tuibench.core.stats import Outcome, Ratio
from tuibench.core.validity import Lamp

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
        return f"{speed}, the baseline" if row.method == comparison.baseline else speed
    text = f"{fmt.times(against.ratio.value)} {against.method}"
    together = adjusted_p_values(comparison, row.run)
    if against.ratio.outcome in {Outcome.GREATER, Outcome.LESS} and not stands(together[row.method]):
        interval = fmt.interval(against.ratio.low, against.ratio.high)
        return f"{text} {interval} (perhaps chance: one of {len(together)} comparisons)"
    return f"{text} {_interval_and_outcome(against.ratio)}"


def _same_again(row: Row) -> str:
    """Return how far a method is from itself in this run."""
    if row.step is None:
        return fmt.rate(row.median(DECODE))
    text = f"{fmt.times(row.step.ratio.value)} {row.step.method}, the same method"
    if row.step.ratio.outcome in {Outcome.GREATER, Outcome.LESS}:
        interval = fmt.interval(row.step.ratio.low, row.step.ratio.high)
        return f"{text} {interval}: a difference as small as this proves nothing in this run"
    return f"{text} {_interval_and_outcome(row.step.ratio)}"


def _interval_and_outcome(ratio: Ratio) -> str:
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
        return [f"{metric.short} {fmt.metric(metric, row.median(metric))}" for metric in (TTFT, PEAK_RSS)]
    base = comparison.row(row.run, row.against_baseline.method)
    if base is None:
        return []
    return [_change(metric, row, base) for metric in (TTFT, PEAK_RSS)]


def _change(metric: Metric, row: Row, base: Row) -> str:
    ours, theirs = row.median(metric), base.median(metric)
    return f"{metric.short} {fmt.change(ours / theirs - 1)}" if ours is not None and theirs else ""


def _quality(row: Row) -> list[str]:
    parts = []
    if row.quality is None:
        if row.method != REFERENCE and not is_control(row.method):
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
        parts.append("text identical" if index is None else f"first difference at token {index + 1}")
    return parts


def _validity(row: Row) -> str:
    if row.not_same_model:
        return f"not the same model: {row.not_same_model}"
    if row.flags:
        more = f" and {len(row.flags) - 1} more" if len(row.flags) > 1 else ""
        return f"doubtful: {row.flags[0]}{more}"
    return "valid" if row.lamp else "validity not recorded"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which method to take."""

    fastest: str | None
    """The fastest whose divergence is small enough; without quality figures None."""
    identical: str | None
    """The fastest that writes what the reference writes."""
    smallest: str | None
    """The least memory among those whose divergence is small enough."""
    pareto: tuple[str, ...]
    """Those that no other beats in both speed and divergence, fastest first."""
    sentence: str


def recommend(comparison: Comparison, run: int = 0, max_kld: float = MAX_KLD) -> Recommendation:
    """Return what to take of one run.

    The rule: of the methods whose mean KL divergence from FP32 is at most `max_kld`, the one with the highest median
    decode speed. Without quality figures nothing is recommended, only the fastest named.
    """
    rows = [row for row in comparison.of_run(run) if _may_be_taken(row)]
    rows.sort(key=lambda row: -(row.median(DECODE) or 0))
    exact = next((row.method for row in rows if _writes_the_same(row)), None)
    pareto = tuple(row.method for row in rows if row.best_for_its_quality)
    scored = any(row.kld is not None for row in rows)
    good = [row for row in rows if scored and _close_enough(row, max_kld)]
    if not good:
        return Recommendation(None, exact, None, pareto, fmt.printable(_without_quality(rows, exact, max_kld, scored)))
    small = min((row for row in good if row.median(PEAK_RSS)), key=lambda row: row.median(PEAK_RSS) or 0, default=None)
    sentence = _sentence(comparison, run, good, exact, small, pareto, max_kld)
    return Recommendation(good[0].method, exact, small.method if small else None, pareto, fmt.printable(sentence))


def _may_be_taken(row: Row) -> bool:
    return bool(row.median(DECODE)) and not row.not_same_model and not is_control(row.method)


def _close_enough(row: Row, max_kld: float) -> bool:
    return row.method == REFERENCE or (row.kld is not None and row.kld <= max_kld)


def _writes_the_same(row: Row) -> bool:
    if row.method == REFERENCE:
        return True
    same_text = row.agreement is not None and row.agreement.first_divergence is None
    return same_text and (row.kld is None or row.kld <= NEGLIGIBLE_KLD)


def _sentence(
    comparison: Comparison,
    run: int,
    good: list[Row],
    exact: str | None,
    small: Row | None,
    pareto: tuple[str, ...],
    max_kld: float,
) -> str:
    best = good[0].method
    parts = [f"take {best}: fastest within KLD ≤ {max_kld:g}"]
    rival = next((row.method for row in good[1:] if _no_slower(comparison.speed_ratio(run, best, row.method))), None)
    if rival:
        parts[0] += f" (not told apart from {rival})"
    if exact and exact != best:
        parts.append(f"{exact} if the output must be identical")
    if small and (small.median(PEAK_RSS) or 0) < _NOTABLY_LESS * (good[0].median(PEAK_RSS) or 0):
        parts.append(f"smallest: {small.method} ({fmt.size(small.median(PEAK_RSS))})")
    if pareto:
        parts.append(f"Pareto set: {', '.join(pareto)}")
    if any(row.lamp is Lamp.RED for row in good):
        parts.append("but trials were badly disturbed: measure again on a quieter machine")
    return "; ".join(parts)


def _no_slower(ratio: Ratio | None) -> bool:
    return ratio is not None and ratio.outcome in {Outcome.NONE, Outcome.UNKNOWN}


def _without_quality(rows: list[Row], exact: str | None, max_kld: float, scored: bool) -> str:
    if not rows:
        return "nothing was measured: there is nothing to recommend"
    if scored:
        return f"no method lies within KLD ≤ {max_kld:g}; fastest: {rows[0].method}"
    identical = f"; {exact} is the fastest whose text is {REFERENCE}'s" if exact and exact != rows[0].method else ""
    return f"fastest: {rows[0].method}{identical}; no recommendation, because quality was not measured"


def verdict_lines(comparison: Comparison, run: int = 0) -> list[str]:
    """Return the sentences of one run: its methods, a drift if there was one, and the recommendation last."""
    lines = [method_sentence(comparison, row) for row in comparison.of_run(run)]
    drifted = comparison.drifts[run]
    if drifted is not None:
        faster = "faster" if drifted.change > 0 else "slower"
        lines.append(
            f"drift: the machine became {abs(drifted.change):.0%} {faster} during the run "
            f"(p = {drifted.p_value:.3f}), most of it at trial {drifted.at_trial} of {drifted.n_trials}"
        )
    lines.append(recommend(comparison, run).sentence)
    return lines
