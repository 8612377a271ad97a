"""What changed from one run to a later one: a sentence for each method, and what the machines do not share."""

from __future__ import annotations

from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.machine.fingerprint import differences
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.metrics import DECODE
from tuibench.core.statistics.stats import Outcome, Ratio

_UNIT = " tok/s"
CAVEAT = "the intervals hold the noise between the trials of a run, not that between one run and another"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one method's decode speed."""

    method: str
    text: str
    outcome: Outcome | None
    """None where one of the runs did not measure it."""

    def __str__(self) -> str:
        """Return it as a sentence."""
        return fmt.printable(f"{self.method}: {self.text}")


@dataclass(frozen=True, slots=True)
class Changes:
    """From the comparison's first run to another."""

    title: str
    surroundings: tuple[str, ...]
    """What of the machine is another, `what before → after`."""
    methods: tuple[Change, ...]
    """In the order of the first run, then those that only the other has."""


def changes(comparison: Comparison) -> tuple[Changes, ...]:
    """Return what changed from the first run to each of the others, in sweeps of the same shape; nothing for one."""
    pairs = ((comparison.held_against(number), number) for number in range(len(comparison.runs)))
    return tuple(_changes(comparison, first, number) for first, number in pairs if first != number)


def change_lines(comparison: Comparison) -> list[str]:
    """Return them as text, each run's under its title."""
    lines = []
    for found in changes(comparison):
        lines += ["   ".join((found.title, *found.surroundings)), *map(str, found.methods)]
    return [*lines, CAVEAT] if lines else []


def _changes(comparison: Comparison, before: int, number: int) -> Changes:
    first, later = comparison.runs[before], comparison.runs[number]
    methods = dict.fromkeys(row.method for run in (before, number) for row in comparison.of_run(run))
    machines = differences(first.machine, later.machine) if first.machine and later.machine else ()
    return Changes(
        fmt.printable_line(f"{first.label} → {later.label}"),
        tuple(fmt.printable(f"{each.what} {each.ours} → {each.theirs}") for each in machines),
        tuple(_change(comparison, (before, number), method) for method in methods),
    )


def _change(comparison: Comparison, runs: tuple[int, int], method: str) -> Change:
    rows = [(comparison.runs[run].label, comparison.row(run, method)) for run in runs]
    before_tps, after_tps = speeds = [row.median(DECODE) if row else None for _, row in rows]
    after = rows[1][1]
    if after is None or after.vs_first_session is None:
        lacking = [label for (label, _), tps in zip(rows, speeds, strict=True) if not tps]
        return Change(method, f"not measured in {' and '.join(lacking)}", None)
    told = f"{_verdict(after.vs_first_session)}, {fmt.rate(before_tps).removesuffix(_UNIT)} → {fmt.rate(after_tps)}"
    disturbed = [label for label, row in rows if row and row.lamp is Lamp.RED]
    doubt = f" · disturbed in {' and '.join(disturbed)}" if disturbed else ""
    return Change(method, f"{told}{doubt}", after.vs_first_session.outcome)


def _verdict(ratio: Ratio) -> str:
    match ratio.outcome:
        case Outcome.GREATER:
            return f"{fmt.times(ratio.value)} faster {fmt.interval(ratio.low, ratio.high)}"
        case Outcome.LESS:
            low, high = (1 / end if end else None for end in (ratio.high, ratio.low))
            return f"{fmt.times(1 / ratio.value)} slower {fmt.interval(low, high)}"
        case Outcome.NONE:
            return f"no difference can be told {fmt.interval(ratio.low, ratio.high)}"
        case Outcome.UNKNOWN:
            return f"too few trials to tell ({fmt.times(ratio.value)})"
