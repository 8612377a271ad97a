"""Which method is the fastest that keeps the limits, and what to measure next to know it: no more than that needs.

All methods have one short trial. Then the fastest are scored, until one keeps the limits: it leads. Whatever is clearly
slower than the leader falls out, and only what may still win goes on. Where a single trial decides, it is by more than
any noise that was seen; from `MIN_TRIALS` rounds on by a test on the ratio within rounds. Each look at the data is a
chance to be wrong, so that the tests share the 5 % between them (Bonferroni); that the leader beats each of the others
is one claim, which needs no correction (see `multiplicity`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import may_be_above, surely_above
from tuibench.core.results.metrics import DECODE, PEAK_RSS, TTFT
from tuibench.core.results.row import REFERENCE, Row
from tuibench.core.run.limits import Limits, limits_line
from tuibench.core.run.needs import Need, lacks
from tuibench.core.statistics.stats import COVERAGE, MIN_TRIALS, Ratio

LOOKS = (1, 2, 3, 5, 8, 12)
"""Rounds after which it is decided who goes on; after the last one the answer says what could not be told."""
_TESTS = sum(n >= MIN_TRIALS for n in LOOKS)
_ALPHA = (1 - COVERAGE) / _TESTS
_CLEARLY = {1: 2.0, 2: 1.5}
"""How many times slower a method must be to fall out after so few trials: far beyond what two trials of one method were
seen to differ by, disturbed ones included."""
INDIFFERENT = 1.03
"""A rival that is at most this much faster is not worth more trials."""


@dataclass(frozen=True, slots=True)
class Score:
    """Measure the quality of a method next."""

    method: str


@dataclass(frozen=True, slots=True)
class Measure:
    """Take more rounds of these methods, then look again."""

    methods: tuple[str, ...]
    n_rounds: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of the search."""

    method: str | None
    """None: no method was shown to keep the limits."""
    doubts: tuple[str, ...] = ()
    """What could not be told; none where the answer is certain."""
    rivals: tuple[str, ...] = ()
    """Methods that keep the limits and are as fast as far as could be told, fastest first."""
    out: Mapping[str, str] | None = None
    """Why each other method is not the answer, by its name."""


def next_step(
    comparison: Comparison, limits: Limits, *, given_up: Collection[str] = (), run: int = 0
) -> Score | Measure | Answer:
    """Return what to do next.

    Args:
        comparison: Of what was measured so far: at least one trial of each method that could be measured.
        limits: That the answer must keep.
        given_up: Methods that cannot be measured any further.
        run: Which of the comparison it is.
    """
    out = {row.method: why for row in comparison.of_run(run) if (why := _why_out(row, limits))}
    rows = [row for row in comparison.of_run(run) if row.method not in out]
    rows.sort(key=lambda row: -(row.median(DECODE) or 0))
    contenders: list[Row] = []
    for row in rows:
        if not contenders and _unscored(row, limits):
            return Score(row.method)
        if contenders and _clearly_faster(comparison, contenders[0], row):
            out[row.method] = _slower(comparison, contenders[0], row)
        else:
            contenders.append(row)
    if not contenders:
        return Answer(None, out=out)
    return _among(comparison, limits, contenders, out, given_up)


def answered(comparison: Comparison, run: int) -> Answer | None:
    """Return what a search found; None where a run is not of a search, or of one that was ended before it was over."""
    limits = comparison.runs[run].limits
    if limits is None or not any(row.median(DECODE) for row in comparison.of_run(run)):
        return None
    given_up = {row.method for row in comparison.of_run(run) if row.failure}
    step = next_step(comparison, limits, given_up=given_up, run=run)
    return step if isinstance(step, Answer) else None


def none_keeps(limits: Limits) -> str:
    """Return what there is to say where the answer names no method; of some, it may not have been possible to tell."""
    return f"no method was shown to keep {limits_line(limits)}"


def _among(
    comparison: Comparison, limits: Limits, contenders: Sequence[Row], out: Mapping[str, str], given_up: Collection[str]
) -> Score | Measure | Answer:
    """Return what to do about methods of which the first leads, and the others may be as fast."""
    leader, *others = contenders
    rivals = [row for row in others if not _not_worth_more(comparison, row, leader)]
    more = tuple(row.method for row in (leader, *rivals) if row.method not in given_up)
    n_rounds = next((n for n in LOOKS if n > leader.n_trials), leader.n_trials) - leader.n_trials
    can_go_on = n_rounds > 0 and leader.method in more
    if can_go_on and leader.n_trials < MIN_TRIALS:
        return Measure(more, n_rounds)
    for row in rivals:
        if _unscored(row, limits):
            return Score(row.method)
    doubts = _speed_doubts(leader, limits)
    if can_go_on and (doubts or len(more) > 1):
        return Measure(more, n_rounds)
    apart = (f"not told apart from {', '.join(row.method for row in rivals)}",) if rivals else ()
    near = {row.method: f"at most {fmt.percent(INDIFFERENT - 1)} faster" for row in others if row not in rivals}
    doubts = (*doubts, *_quality_doubts(leader, limits), *apart)
    return Answer(leader.method, doubts, tuple(row.method for row in rivals), {**out, **near})


def _unscored(row: Row, limits: Limits) -> bool:
    return limits.max_kld is not None and row.quality is None and row.method != REFERENCE


def _why_out(row: Row, limits: Limits) -> str | None:
    """Return why a method cannot be the answer whatever else is measured; None while it can."""
    if not row.median(DECODE):
        kind = row.failure.failure_kind if row.failure else None
        return f"{kind}: {row.failure.failure_message}" if kind and row.failure else "not measured"
    if row.not_same_model:
        return f"not the same model: {row.not_same_model}"
    return _too_large(row, limits) or _too_slow(row, limits) or _too_far(row, limits)


def _too_large(row: Row, limits: Limits) -> str | None:
    peak_bytes = row.median(PEAK_RSS)
    if limits.max_rss_bytes is None or (peak_bytes is not None and peak_bytes <= limits.max_rss_bytes):
        return None
    asked = limits.max_rss_bytes
    return f"peak RSS {fmt.size_beside(peak_bytes, asked)}, above {fmt.size_asked(asked)}"


def _too_slow(row: Row, limits: Limits) -> str | None:
    speed, first = row.metrics[DECODE.id], row.metrics.get(TTFT.id)
    at_best_tps = speed.high or speed.median * _CLEARLY[min(speed.n, 2)]
    if limits.min_decode_tps is not None and at_best_tps < limits.min_decode_tps:
        return f"{fmt.rate(speed.median)}, below {fmt.rate(limits.min_decode_tps)}"
    if limits.max_ttft_ns is None or first is None:
        return None
    at_best_ns = first.low or first.median / _CLEARLY[min(first.n, 2)]
    if at_best_ns > limits.max_ttft_ns:
        return f"TTFT {fmt.duration(first.median)}, above {fmt.duration(limits.max_ttft_ns)}"
    return None


def _too_far(row: Row, limits: Limits) -> str | None:
    if limits.max_kld is None:
        return None
    if lacks(row.method, Need.PREDICTIONS):
        return Need.PREDICTIONS.value
    if row.quality is not None and row.quality.failed:
        return f"quality failed: {row.quality.failure_message or row.quality.failure_kind}"
    if row.kld is not None and surely_above(row, limits.max_kld):
        return f"KLD {fmt.divergence(row.kld)}, above {limits.max_kld:g}"
    return None


def _speed_doubts(row: Row, limits: Limits) -> tuple[str, ...]:
    """Return which limits a method may break, where more trials would tell."""
    speed, first = row.metrics[DECODE.id], row.metrics.get(TTFT.id)
    found = []
    if limits.min_decode_tps is not None and (speed.low is None or speed.low < limits.min_decode_tps):
        found.append(f"it may be below {fmt.rate(limits.min_decode_tps)}")
    if limits.max_ttft_ns is not None and (first is None or first.high is None or first.high > limits.max_ttft_ns):
        found.append(f"its TTFT may be above {fmt.duration(limits.max_ttft_ns)}")
    return tuple(found)


def _quality_doubts(row: Row, limits: Limits) -> tuple[str, ...]:
    """Return the same where they would not: the text is what it is."""
    if limits.max_kld is not None and may_be_above(row, limits.max_kld):
        return (f"its KLD may be above {limits.max_kld:g}",)
    return ()


def _clearly_faster(comparison: Comparison, ours: Row, theirs: Row) -> bool:
    ratio = comparison.speed_ratio(ours.run, ours.method, theirs.method)
    if ratio is None:
        return True  # it has no speed in the rounds of the leader: it was out before, and is measured no more
    if ratio.p_value is None:
        return ratio.value > _CLEARLY[min(max(ratio.n, 1), 2)]
    return ratio.value > 1 and ratio.p_value <= _ALPHA


def _slower(comparison: Comparison, leader: Row, row: Row) -> str:
    ratio: Ratio | None = comparison.speed_ratio(row.run, row.method, leader.method)
    if ratio is None:
        return f"slower than {leader.method}"
    return f"{fmt.times(ratio.value)} {leader.method} {fmt.interval(ratio.low, ratio.high)}".rstrip()


def _not_worth_more(comparison: Comparison, row: Row, leader: Row) -> bool:
    ratio = comparison.speed_ratio(row.run, row.method, leader.method)
    return ratio is not None and ratio.high is not None and ratio.high < INDIFFERENT
