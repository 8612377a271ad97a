"""The answer of a search, in words."""

from __future__ import annotations

from tuibench.core import format as fmt
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE, PEAK_RSS, TTFT
from tuibench.core.results.row import REFERENCE, Row
from tuibench.core.results.search import Answer, none_keeps
from tuibench.core.run.limits import Limits, limits_line


def answer_lines(comparison: Comparison, answer: Answer, limits: Limits) -> list[str]:
    """Return the method to take with its figures, what is not certain, and why each other one fell out."""
    row = comparison.row(0, answer.method) if answer.method else None
    lines = [none_keeps(limits) if row is None else _first_line(row, answer, limits)]
    lines += [f"not certain: {doubt}" for doubt in answer.doubts]
    for method in answer.rivals:
        rival = comparison.row(0, method)
        lines += [f"{method}: {_figures(rival, limits)}"] if rival else []
    out = answer.out or {}
    width = max(map(len, out), default=0)
    lines += [f"{method:{width}}  {why}" for method, why in out.items()]
    return [fmt.printable(line) for line in lines]


def _first_line(row: Row, answer: Answer, limits: Limits) -> str:
    grade = "probably" if answer.doubts else "take"
    return f"{grade} {row.method}: the fastest with {limits_line(limits)}: {_figures(row, limits)}"


def _figures(row: Row, limits: Limits) -> str:
    speed = row.metrics[DECODE.id]
    figures = [f"{fmt.rate(speed.median)} {fmt.interval(speed.low, speed.high)}".rstrip()]
    peak_bytes, asked = row.median(PEAK_RSS), limits.max_rss_bytes
    peak = fmt.size(peak_bytes) if asked is None else fmt.size_beside(peak_bytes, asked)
    figures += [f"{TTFT.short} {fmt.metric(TTFT, row.median(TTFT))}", f"{PEAK_RSS.short} {peak}"]
    if row.kld is not None and row.method != REFERENCE:
        figures.append(f"KLD {fmt.divergence(row.kld)}")
    return ", ".join(figures)
