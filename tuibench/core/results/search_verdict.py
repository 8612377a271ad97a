"""Which method to take of a search: what it found within its own limits."""

from __future__ import annotations

import math

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import Grade
from tuibench.core.results.metrics import PEAK_RSS
from tuibench.core.results.recommendation import Recommendation
from tuibench.core.results.search import Answer, none_keeps
from tuibench.core.run.limits import Limits, limits_line


def recommend_of_search(comparison: Comparison, run: int, answer: Answer, limits: Limits) -> Recommendation:
    """Return what to take of a run that is a search, from its answer."""
    asked, doubts = limits_line(limits), ", and ".join(answer.doubts)
    kept = [row for row in comparison.of_run(run) if row.method in {answer.method, *answer.rivals}]
    if answer.method is None:
        grade, headline = None, none_keeps(limits)
    elif doubts:
        grade, headline = Grade.PROBABLY, f"probably {answer.method}: the fastest with {asked}, but {doubts}"
    else:
        grade, headline = Grade.TAKE, f"take {answer.method}: the fastest with {asked}"
    smallest = min(kept, key=lambda row: row.median(PEAK_RSS) or math.inf, default=None)
    out = answer.out or {}
    return Recommendation(
        grade=grade,
        because=tuple(map(fmt.printable, answer.doubts)),
        fastest=answer.method,
        identical=next((row.method for row in kept if row.writes_the_same), None),
        smallest=smallest.method if smallest else None,
        pareto=(),
        unjudged={},
        headline=fmt.printable(headline),
        remarks=tuple(fmt.printable(f"{method}: {why}") for method, why in out.items()),
    )
