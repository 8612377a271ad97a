"""What the numbers of one method mean, in a sentence."""

from __future__ import annotations

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE, PEAK_RSS, TTFT, Metric, of_method
from tuibench.core.results.multiplicity import adjusted_p_values, stands
from tuibench.core.results.ratio_words import interval_and_outcome
from tuibench.core.results.row import REFERENCE, Row
from tuibench.core.run.control import is_control
from tuibench.core.run.needs import Need, lacks
from tuibench.core.statistics.stats import Outcome

_VALIDITY = {Lamp.GREEN: "valid", Lamp.YELLOW: "doubtful", Lamp.RED: "disturbed", None: "doubtful"}
"""By the row's lamp; a machine that was not watched has none."""


def method_sentence(comparison: Comparison, row: Row) -> str:
    """Return what one method achieves against the comparison's yardstick, and whether that can be trusted.

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
    against = row.against_yardstick
    if against is None:
        speed = fmt.rate(row.median(DECODE))
        if row.method == comparison.yardstick:
            return f"{speed}, the yardstick"
        beside = comparison.yardstick in comparison.measured[row.run]
        return speed if beside else f"{speed}, {comparison.yardstick} not measured beside it"
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


def _changes(comparison: Comparison, row: Row) -> list[str]:
    """Return how first token and memory compare with the yardstick's."""
    if row.against_yardstick is None:
        return [f"{metric.short} {fmt.metric(metric, row.median(metric))}" for metric in _told_of(row)]
    base = comparison.row(row.run, row.against_yardstick.method)
    if base is None:
        return []
    return [_change(metric, row, base) for metric in _told_of(row)]


def _told_of(row: Row) -> tuple[Metric, ...]:
    """Return the metrics besides the speed."""
    return of_method((TTFT, PEAK_RSS), row.method)


def _change(metric: Metric, row: Row, base: Row) -> str:
    ours, theirs = row.median(metric), base.median(metric)
    return f"{metric.short} {fmt.change(ours / theirs - 1)}" if ours is not None and theirs else ""


def _quality(row: Row) -> list[str]:
    parts = []
    if row.quality is None:
        if lacks(row.method, Need.PREDICTIONS):
            parts.append(Need.PREDICTIONS.value)
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
    if row.lamp is None and not row.flags:
        unwatched = lacks(row.method, Need.WATCHED_MACHINE)
        return Need.WATCHED_MACHINE.value if unwatched else "validity not recorded"
    word = _VALIDITY[row.lamp]
    if not row.flags:
        return word
    more = f" and {len(row.flags) - 1} more" if len(row.flags) > 1 else ""
    return f"{word}{', but' if row.lamp is Lamp.GREEN else ':'} {row.flags[0]}{more}"
