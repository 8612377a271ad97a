"""Which method to take of what was measured, and the rule that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import Evidence, Grade, evidence
from tuibench.core.results.metrics import DECODE, PEAK_RSS
from tuibench.core.results.recommendation import MAX_KLD, Recommendation
from tuibench.core.results.row import REFERENCE, Row
from tuibench.core.results.search import answered
from tuibench.core.results.search_verdict import recommend_of_search
from tuibench.core.run.control import is_control
from tuibench.core.run.needs import Need, lacks
from tuibench.core.statistics.stats import Outcome, Ratio

_NOTABLY_LESS = 0.95
"""Share of the fastest method's memory below which a smaller one is worth a word."""


def recommend(comparison: Comparison, run: int = 0, max_kld: float = MAX_KLD) -> Recommendation:
    """Return what to take of one run.

    The rule: of the methods whose mean KL divergence from FP32 is at most `max_kld`, the one with the highest median
    decode speed. How sure that is, its `Grade` says. Without quality figures nothing is recommended, only the fastest
    named. Of a search the answer is what it found within its own limits.
    """
    answer, limits = answered(comparison, run), comparison.runs[run].limits
    if answer is not None and limits is not None:
        return recommend_of_search(comparison, run, answer, limits)
    rows = [row for row in comparison.of_run(run) if _may_be_taken(row)]
    rows.sort(key=lambda row: -(row.median(DECODE) or 0))
    exact = next((row.method for row in rows if row.writes_the_same), None)
    unseen = [row for row in comparison.of_run(run) if lacks(row.method, Need.PREDICTIONS) and row.median(DECODE)]
    scored = any(row.kld is not None for row in rows if row.method != REFERENCE)
    close = [row for row in rows if row.is_within(max_kld)] if scored else []
    good = close or [row for row in rows if row.kld is None or not scored]
    candidates = {row.method for row in good}
    unjudged = {
        row.method: why
        for row in comparison.of_run(run)
        if row.method not in candidates and (why := _why_unjudged(row, scored=scored))
    }
    found: Evidence | None = None
    if good and [row.method for row in rows] != [REFERENCE]:
        faster = [row.method for row in rows[: rows.index(good[0])] if row.method in unjudged]
        missing = "" if close else _not_scored(rows, scored=scored, max_kld=max_kld)
        found = evidence(
            comparison, good, rival=_rival(comparison, good), unjudged=faster, max_kld=max_kld, missing=missing
        )
    small = min((row for row in good if row.median(PEAK_RSS)), key=lambda row: row.median(PEAK_RSS) or 0, default=None)
    nothing = (
        f"nothing to recommend: {Need.PREDICTIONS.value}"
        if unseen
        else "nothing was measured: there is nothing to recommend"
    )
    headline = _headline(found, rows, good, max_kld) if rows else nothing
    remarks = _remarks(found, good, exact, small, unjudged) if rows or unseen else []
    return Recommendation(
        grade=found.grade if found else None,
        because=tuple(map(fmt.printable, found.because)) if found else (),
        fastest=close[0].method if close else None,
        identical=exact,
        smallest=small.method if small and close else None,
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
    if lacks(row.method, Need.PREDICTIONS):
        return f"not judged: {Need.PREDICTIONS.value}"
    if not scored or row.kld is not None or row.method == REFERENCE:
        return None
    return "quality failed" if row.quality is not None else "quality not measured"


def _not_scored(rows: Sequence[Row], *, scored: bool, max_kld: float) -> str:
    """Return what is not known of the methods' quality, where none is known to be close enough to the reference."""
    if scored:
        unknown = ", ".join(row.method for row in rows if row.kld is None)
        far = [row.method for row in rows if row.kld is not None]
        lie = "lies" if len(far) == 1 else "lie"
        return f"the quality of {unknown} is not known and {', '.join(far)} {lie} beyond KLD {max_kld:g}"
    if any(row.kld is not None for row in rows):
        return f"quality was measured only for {REFERENCE}"
    return "quality was not measured"


def _may_be_taken(row: Row) -> bool:
    other = is_control(row.method) or lacks(row.method, Need.PREDICTIONS)
    return bool(row.median(DECODE)) and not row.not_same_model and not other


def _rival(comparison: Comparison, good: Sequence[Row]) -> str | None:
    """Return the fastest of the others that the fastest is not told apart from."""
    best, *others = good
    ratios = {row.method: comparison.speed_ratio(best.run, best.method, row.method) for row in others}
    return next((method for method, ratio in ratios.items() if _no_slower(ratio)), None)


def _no_slower(ratio: Ratio | None) -> bool:
    return ratio is not None and ratio.outcome in {Outcome.NONE, Outcome.UNKNOWN}


def _headline(found: Evidence | None, rows: Sequence[Row], good: Sequence[Row], max_kld: float) -> str:
    if found is None:
        fastest = rows[0].method
        if good:
            return f"nothing to choose from but {fastest}"
        if len(rows) == 1:
            return f"{fastest} does not lie within KLD ≤ {max_kld:g}"
        return f"no method lies within KLD ≤ {max_kld:g}; fastest: {fastest}"
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
