"""How far a run's trials carry a recommendation: what grades its headline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.row import Row
from tuibench.core.run.record import TrialRecord
from tuibench.core.statistics.stats import MIN_TRIALS

_IN_REACH = 0.5
"""Share of the fastest method's speed from which on a method might be the fastest, had it been measured in peace."""
_MOST = 0.5
_SE_OF_95_PERCENT = 1.96


class Grade(StrEnum):
    """How sure the choice of a method is."""

    TAKE = "take"
    """None of the reasons below is there."""
    PROBABLY = "probably"
    """The fastest by its median, but it is not told apart from another, or a trial was badly disturbed, or more than
    half of them were disturbed, or it did other work than was asked for, or its divergence may be above the bound, or a
    faster method could not be judged."""
    CANNOT_TELL = "cannot tell"
    """Quality was not measured, or a method in reach has too few trials for an interval, or more than half of its
    trials were badly disturbed: their figures say more about the disturbance than about the method."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A grade and what speaks against a better one."""

    grade: Grade
    because: tuple[str, ...] = ()
    """None with the best grade."""
    rival: str | None = None
    """A method that the fastest is not told apart from."""
    example: str | None = None
    """What disturbed the worst of the trials; None where disturbance is not the reason."""


def evidence(
    comparison: Comparison,
    candidates: Sequence[Row],
    *,
    rival: str | None,
    unjudged: Collection[str] = (),
    max_kld: float,
    missing: str = "",
) -> Evidence:
    """Return how sure it is that the fastest of some methods is the one to take.

    What counts are the trials of methods in reach of it: at half its speed or above. A method whose conditions were
    not recorded is held to be undisturbed.

    Args:
        comparison: Of the rows.
        candidates: Rows of one run that may be taken, the fastest first; at least one.
        rival: A method that the fastest is not told apart from.
        unjudged: Faster methods that may not be taken because too little is known of them.
        max_kld: The divergence that may be taken.
        missing: Of which quality nothing is known, where that leaves no method to take; else empty.
    """
    best, speed = candidates[0], candidates[0].median(DECODE) or 0
    near = [row for row in candidates if (row.median(DECODE) or 0) >= _IN_REACH * speed]
    trials = {row.method: comparison.measured[row.run][row.method].records for row in near}
    everything = [record for records in trials.values() for record in records]
    red = _mostly_red(trials, everything)
    if against := (*filter(None, [missing]), *_too_few(trials), *red):
        return Evidence(Grade.CANNOT_TELL, against, rival, _example(everything) if red else None)
    doubts = [f"not told apart from {rival}"] if rival else []
    if unjudged:
        doubts.append(f"{', '.join(unjudged)} {'is' if len(unjudged) == 1 else 'are'} faster and not judged")
    disturbed = _some_disturbed(everything)
    doubts += [*disturbed, *best.doubts]
    if may_be_above(best, max_kld):
        doubts.append(f"its KLD may be above {max_kld:g}")
    grade, example = Grade.PROBABLY if doubts else Grade.TAKE, _example(everything) if disturbed else None
    return Evidence(grade, tuple(doubts), rival, example)


_Trials = dict[str, tuple[TrialRecord, ...]]


def _too_few(trials: _Trials) -> list[str]:
    few = min(trials, key=lambda method: len(trials[method]))
    n = len(trials[few])
    return [f"{fmt.counted(n, 'trial')} of {few} {'is' if n == 1 else 'are'} too few"] if n < MIN_TRIALS else []


def _mostly_red(trials: _Trials, everything: Sequence[TrialRecord]) -> list[str]:
    if all(_n_with(records, Lamp.RED) <= _MOST * len(records) for records in trials.values()):
        return []
    return [f"{_of(_n_with(everything, Lamp.RED), everything)} badly disturbed"]


def _some_disturbed(trials: Sequence[TrialRecord]) -> list[str]:
    n_red, n_disturbed = _n_with(trials, Lamp.RED), _n_with(trials, Lamp.RED, Lamp.YELLOW)
    if n_red:
        return [f"{_of(n_red, trials)} badly disturbed"]
    return [f"{_of(n_disturbed, trials)} disturbed"] if n_disturbed > _MOST * len(trials) else []


def _of(n: int, trials: Sequence[TrialRecord]) -> str:
    return f"{n} of {fmt.counted(len(trials), 'trial')} {'was' if n == 1 else 'were'}"


def _n_with(trials: Sequence[TrialRecord], *lamps: Lamp) -> int:
    return sum(record.lamp in lamps for record in trials)


def _example(trials: Sequence[TrialRecord]) -> str | None:
    told = (record for lamp in (Lamp.RED, Lamp.YELLOW) for record in trials if record.lamp is lamp and record.validity)
    worst = next(told, None)
    return worst.validity[0] if worst else None


def may_be_above(row: Row, max_kld: float) -> bool:
    """Return whether the 95 % interval of a method's divergence reaches beyond a bound; False without an interval."""
    error = _kld_error(row)
    return row.kld is not None and error is not None and row.kld + error > max_kld


def surely_above(row: Row, max_kld: float) -> bool:
    """Return whether all of that interval, or the divergence where there is none, lies beyond a bound."""
    return row.kld is not None and row.kld - (_kld_error(row) or 0.0) > max_kld


def _kld_error(row: Row) -> float | None:
    error = row.quality.kld_mean_se if row.quality else None
    return None if error is None else _SE_OF_95_PERCENT * error
