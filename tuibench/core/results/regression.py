"""Whether a build is slower than the one before it: sessions of both, method by method.

How much a method's speed varies from one session to the next shows only in several sessions: no number of trials of
one tells it. With four sessions or more on both sides together (two a side) the interval is Student's on the logarithms
of the sessions' median speeds, with the scatter pooled over both sides, which holds trial noise and run-to-run noise
alike. With fewer, run-to-run noise is assumed, and what the trials say is added (Welch–Satterthwaite).

A method counts as slower where its own interval lies wholly beyond what is allowed, and where, all methods together,
chance would show an unchanged build as slower in at most 2.5 % of cases (Holm). It counts as not slower where its
interval lies wholly within what is allowed. Everything else is "cannot tell". `tests/campaigns/statistics.md` has the
rates at which each comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp, log, pi, sqrt
from statistics import fmean, variance

from tuibench.core.results.comparison import Comparison
from tuibench.core.results.method_trials import MethodTrials
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.multiplicity import holm
from tuibench.core.run.control import is_control
from tuibench.core.statistics.distributions import student_t_p_value, student_t_quantile
from tuibench.core.statistics.stats import COVERAGE, MIN_TRIALS

RUN_NOISE = 0.03
"""Standard deviation from session to session that is assumed where there are too few to show it. Quiet machines are at
1 %, shared ones at 3 % and more."""

_LEAST_DF = 2
"""Degrees of freedom from which on the sessions themselves tell it."""
_TAIL = (1 - COVERAGE) / 2


class Standing(StrEnum):
    """What became of a method."""

    NOT_SLOWER = "not slower"
    SLOWER = "slower"
    UNSURE = "cannot tell"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One method of the new sessions, held against the base's."""

    method: str
    ratio: float
    """New speed over base speed: geometric means of the sessions' medians."""
    low: float | None
    """With `high`, its 95 % interval, run-to-run noise included; None where trials or sessions are too few for one."""
    high: float | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class Gate:
    """What became of all methods."""

    judgements: tuple[Judgement, ...]
    missing: tuple[tuple[str, int], ...]
    """Methods that some of the sessions measured, and the runs that did not."""
    noise_assumed: bool
    """Whether the sessions were too few to show run-to-run noise."""

    def with_standing(self, standing: Standing) -> tuple[Judgement, ...]:
        """Return the methods that came out like this."""
        return tuple(each for each in self.judgements if each.standing is standing)


def judge(
    comparison: Comparison,
    base: Sequence[int],
    new: Sequence[int],
    *,
    allowed: float,
    run_noise: float = RUN_NOISE,
) -> Gate:
    """Return what became of each method; a control is none.

    Args:
        comparison: Of sessions that were measured for the same task.
        base: The runs of it that were measured before: at least one.
        new: Those that were measured after.
        allowed: The loss of speed that is accepted, as a fraction.
        run_noise: What to assume of the standard deviation from run to run where the sessions do not show it.
    """
    both = (*base, *new)
    speeds = {number: _with_speed(comparison.measured[number]) for number in both}
    methods = dict.fromkeys(method for number in both for method in speeds[number])
    differences: dict[str, _Difference] = {}
    for method in methods:
        sides = [[speeds[number][method] for number in side if method in speeds[number]] for side in (base, new)]
        if all(sides):
            differences[method] = _difference(*sides, run_noise=run_noise)
    by_chance = holm({method: found.p_slower for method, found in differences.items() if found.half is not None})
    return Gate(
        tuple(_judgement(method, found, by_chance.get(method), allowed) for method, found in differences.items()),
        tuple((method, number) for method in methods for number in both if method not in speeds[number]),
        noise_assumed=len(both) - 2 < _LEAST_DF,
    )


def _with_speed(measured: Mapping[str, MethodTrials]) -> dict[str, MethodTrials]:
    return {method: trials for method, trials in measured.items() if trials.speeds and not is_control(method)}


@dataclass(frozen=True, slots=True)
class _Difference:
    """Of the logarithms of two sides' speeds."""

    middle: float
    half: float | None = None
    """Of its interval; None without one."""
    p_slower: float = 1.0
    """How probable a side at least as much slower is between equals."""


def _difference(base: Sequence[MethodTrials], new: Sequence[MethodTrials], *, run_noise: float) -> _Difference:
    sides = [[log(trials.metrics[DECODE.id].median) for trials in side] for side in (base, new)]
    middle = fmean(sides[1]) - fmean(sides[0])
    df: float = len(base) + len(new) - 2
    if df >= _LEAST_DF:
        pooled = sum((len(side) - 1) * variance(side) for side in sides if len(side) > 1) / df
        return _with_interval(middle, pooled * (1 / len(base) + 1 / len(new)), df)
    if any(len(trials.speeds) < MIN_TRIALS for trials in (*base, *new)):
        return _Difference(middle)
    parts = [(_squared_error(trials.speeds) / len(side) ** 2, trials) for side in (base, new) for trials in side]
    squared = sum(part for part, _ in parts) + run_noise**2 * (1 / len(base) + 1 / len(new))
    uncertain = sum(part**2 / (len(trials.speeds) - 1) for part, trials in parts)
    return _with_interval(middle, squared, squared**2 / uncertain if uncertain else float("inf"))


def _squared_error(speeds: Iterable[float]) -> float:
    """Return the variance of a median's logarithm, as of many trials: of few it is up to a third less."""
    logs = [log(speed) for speed in speeds]
    return pi / 2 * variance(logs) / len(logs)


def _with_interval(middle: float, squared: float, df: float) -> _Difference:
    if not squared:
        return _Difference(middle, 0.0, 0.0 if middle < 0 else 1.0)
    one_sided = student_t_p_value(middle / sqrt(squared), df) / 2
    half = student_t_quantile(1 - _TAIL, df) * sqrt(squared)
    return _Difference(middle, half, one_sided if middle < 0 else 1 - one_sided)


def _judgement(method: str, found: _Difference, by_chance: float | None, allowed: float) -> Judgement:
    unsure = Judgement(method, exp(found.middle), None, None, Standing.UNSURE)
    if found.half is None or by_chance is None:
        return unsure
    low, high = exp(found.middle - found.half), exp(found.middle + found.half)
    standing = Standing.UNSURE
    if high < 1 - allowed and by_chance <= _TAIL:
        standing = Standing.SLOWER
    elif low >= 1 - allowed:
        standing = Standing.NOT_SLOWER
    return replace(unsure, low=low, high=high, standing=standing)
