"""`tuibench compare --fail-on-regression`: what became of each method, in words and as an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tuibench.cli import CANNOT_TELL, OK, REGRESSED, SOME_FAILED
from tuibench.core import format as fmt
from tuibench.core.results.regression import RUN_NOISE, Gate, Judgement, Standing, judge

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from tuibench.core.results.comparison import Comparison


def judged(comparison: Comparison, n_base: int, options: argparse.Namespace) -> int:
    """Tell on standard error which methods are slower, and return the exit code.

    Args:
        comparison: Of the base's sessions, then the new ones.
        n_base: How many are the base's.
        options: The command line.
    """
    base, later = tuple(range(n_base)), range(n_base, len(comparison.runs))
    sides = [tuple(later)] if options.base else [(number,) for number in later]
    noise = RUN_NOISE if options.run_noise is None else options.run_noise
    allowed = options.fail_on_regression
    gates = [(new, judge(comparison, base, new, allowed=allowed, run_noise=noise)) for new in sides]
    for new, gate in gates:
        for line in _lines(comparison, gate, _side(comparison, base, "base"), _side(comparison, new, "new"), allowed):
            print(fmt.printable(f"tuibench: {line}"), file=sys.stderr)
    if any(gate.noise_assumed for _, gate in gates):
        assumed = (
            f"so few sessions do not show how speed varies from one to the next: {fmt.percent(noise, 1)} was assumed"
        )
        print(f"tuibench: {assumed}; three or more a side do (--base A1 A2 A3 --new B1 B2 B3)", file=sys.stderr)
    return _exit_code([gate for _, gate in gates], strict=options.strict)


def _exit_code(gates: Sequence[Gate], *, strict: bool) -> int:
    if any(gate.with_standing(Standing.SLOWER) for gate in gates):
        return REGRESSED
    if any(gate.missing or not gate.judgements for gate in gates):
        return SOME_FAILED
    if strict and any(gate.with_standing(Standing.UNSURE) for gate in gates):
        return CANNOT_TELL
    return OK


def _side(comparison: Comparison, numbers: Sequence[int], what: str) -> str:
    return comparison.runs[numbers[0]].label if len(numbers) == 1 else f"{len(numbers)} {what} sessions"


def _lines(comparison: Comparison, gate: Gate, base: str, new: str, allowed: float) -> Iterator[str]:
    for method, number in gate.missing:
        yield f"{method} was not measured in {comparison.runs[number].label}: no pass"
    if not gate.judgements:
        yield f"no method was measured both in {base} and in {new}: no pass"
    if within := gate.with_standing(Standing.NOT_SLOWER):
        yield f"not slower by more than {fmt.percent(allowed, 1)}: {', '.join(each.method for each in within)}"
    for each in gate.with_standing(Standing.UNSURE):
        why = "more sessions a side would" if each.low is not None else "too few trials"
        yield f"cannot tell: {_speeds(each, base, new)} ({why})"
    for each in gate.with_standing(Standing.SLOWER):
        yield f"regression: {_speeds(each, base, new)}"


def _speeds(each: Judgement, base: str, new: str) -> str:
    interval = fmt.interval(each.low, each.high) or "[?]"
    return f"{each.method} in {new} runs at {fmt.times(each.ratio)} {interval} of {base}"
