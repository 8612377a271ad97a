"""The result of a run as a plain table: the same columns whether it was just measured or stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuibench.core import format as fmt
from tuibench.core.metrics import DECODE, LOAD, PEAK_RSS, SIZE, TTFT, first_divergence, speedup, summarise
from tuibench.core.state import MethodState, RunState

_METRICS = (TTFT, DECODE, LOAD, PEAK_RSS, SIZE)


def result_lines(state: RunState) -> list[str]:
    """Return the table's lines, and under it one line for each method that failed."""
    methods = list(state.methods.values())
    heading = ["method", "trials", *(metric.short for metric in _METRICS), "speed-up", "text"]
    failures = (method.failure for method in methods)
    return [
        *aligned([heading, *(_row(method, methods[0]) for method in methods)]),
        *(
            fmt.printable(f"{failure.method}: {failure.failure_kind}: {failure.failure_message}")
            for failure in failures
            if failure is not None
        ),
    ]


def _row(method: MethodState, reference: MethodState) -> list[str]:
    measured = method.measured
    return [
        fmt.printable(method.method),
        f"{len(measured)}/{method.n_planned}",
        *(fmt.summary(metric, summarise(metric, measured)) for metric in _METRICS),
        fmt.ratio(speedup(measured, reference.measured)),
        _agreement(method, reference),
    ]


def _agreement(method: MethodState, reference: MethodState) -> str:
    """Return whether the method writes what the first one writes."""
    if not method.measured or not reference.measured:
        return fmt.MISSING
    if method is reference:
        return "reference"
    index = first_divergence(method.measured[0], reference.measured[0])
    return "same" if index is None else f"differs at token {index + 1}"


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first and the last column to the left, numbers to the right."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in table]


def _padded(row: list[str], widths: list[int]) -> Iterable[str]:
    last = len(row) - 1
    for n, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if n in (0, last) else cell.rjust(width)
