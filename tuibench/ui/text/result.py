"""What a run that is over amounts to, in a sentence. Pure: no widget."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import Comparison, Row
from tuibench.core.results.evidence import Grade
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.verdict import Recommendation, recommend
from tuibench.core.run.control import is_control
from tuibench.core.statistics.stats import Outcome, Ratio

_LAMPS: dict[Lamp | None, tuple[str, str]] = {
    Lamp.GREEN: ("● clean", "$success"),
    Lamp.YELLOW: ("▲ doubtful", "$warning"),
    Lamp.RED: ("! disturbed", "$error"),
    None: ("machine not watched", "$muted"),
}
_OPENINGS = {Grade.TAKE: "Take ", Grade.PROBABLY: "Probably ", Grade.CANNOT_TELL: "Cannot tell yet; fastest so far: "}
_RIVAL = "not told apart from "


@dataclass(frozen=True, slots=True)
class Result:
    """Who leads, and how sure that is."""

    leader: str
    sentence: Content
    lamp: tuple[str, str]
    """Whether the leader's trials were disturbed."""


def result_of(comparison: Comparison, run: int = 0) -> Result | None:
    """Return what a run amounts to; None where nothing was measured."""
    advice = recommend(comparison, run)
    rows = sorted(
        (row for row in comparison.of_run(run) if row.median(DECODE) and not is_control(row.method)),
        key=lambda row: -(row.median(DECODE) or 0),
    )
    if not rows:
        return None
    leader = next((row for row in rows if row.method == advice.fastest), rows[0])
    if advice.grade is None:
        return Result(leader.method, Content(f"{advice.headline}."), _lamp(leader))
    others = [row for row in rows[rows.index(leader) + 1 :] if row.method not in advice.unjudged]
    name = fmt.printable(leader.method)
    said = Content.assemble((f"{_OPENINGS[advice.grade]}{name}", "bold"), f": {_speed(comparison, leader)}")
    lead = _lead(comparison, leader, others[0]) if others else None
    sentence = said if lead is None else Content.assemble(said, ", ", lead)
    return Result(leader.method, Content.assemble(sentence, _doubts(advice, leader)), _lamp(leader))


def _speed(comparison: Comparison, row: Row) -> str:
    against = row.against_baseline
    if against is None:
        speed = fmt.rate(row.median(DECODE))
        return f"{speed}, the yardstick" if row.method == comparison.baseline else speed
    return f"{_times(against.ratio)} {fmt.printable(against.method)} {_interval(against.ratio)}"


def _lead(comparison: Comparison, leader: Row, second: Row) -> Content | None:
    """Return how far the leader is ahead of the next, unless that is said already."""
    ratio = comparison.speed_ratio(leader.run, leader.method, second.method)
    name = fmt.printable(second.method)
    match ratio.outcome if ratio else Outcome.UNKNOWN:
        case Outcome.UNKNOWN:
            return Content.styled(f"too few trials to tell it from {name}", "$warning")
        case Outcome.NONE if ratio:
            return Content.styled(f"{_RIVAL}{name} {_interval(ratio)}", "$warning")
    told = leader.against_baseline is not None and leader.against_baseline.method == second.method
    return None if told or ratio is None else Content(f"{_times(ratio)} {name} {_interval(ratio)}")


def _doubts(advice: Recommendation, leader: Row) -> Content:
    """Return what else speaks against a better grade, with an example where it is a disturbance."""
    doubts = [each for each in advice.because if not each.startswith(_RIVAL)]
    if not doubts:
        return Content(".")
    disturbed = leader.lamp in {Lamp.YELLOW, Lamp.RED} and leader.flags
    example = f" ({fmt.printable(leader.flags[0])})" if disturbed else ""
    return Content.assemble(". ", (f"{_capital('; '.join(doubts))}{example}.", "$warning"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _times(ratio: Ratio) -> str:
    return fmt.times(ratio.value)


def _interval(ratio: Ratio) -> str:
    return fmt.interval(ratio.low, ratio.high) or "[?]"


def _lamp(row: Row) -> tuple[str, str]:
    return _LAMPS[row.lamp]
