"""What a run that is over amounts to, in a sentence. Pure: no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from textual.content import Content

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.present.answer_lines import answer_lines
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.evidence import Grade
from tuibench.core.results.host_verdict import HostChoice, host_choices, host_lines
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.recommendation import MAX_KLD, Recommendation
from tuibench.core.results.row import Row
from tuibench.core.results.search import Answer, next_step
from tuibench.core.results.verdict import recommend
from tuibench.core.run.control import is_control
from tuibench.core.run.limits import Limits
from tuibench.core.statistics.stats import Outcome, Ratio

_LAMPS: dict[Lamp | None, tuple[str, str]] = {
    Lamp.GREEN: ("● clean", "$success"),
    Lamp.YELLOW: ("▲ doubtful", "$warning"),
    Lamp.RED: ("! disturbed", "$error"),
    None: ("machine not watched", "$muted"),
}
_OPENINGS = {Grade.TAKE: "Take ", Grade.PROBABLY: "Probably ", Grade.CANNOT_TELL: "Cannot tell yet; fastest so far: "}
_RIVAL, _DISTURBED = "not told apart from ", "disturbed"
"""How what speaks against a grade begins or ends."""


@dataclass(frozen=True, slots=True)
class Result:
    """Who leads, and how sure that is."""

    leader: str
    sentence: Content
    lamp: tuple[str, str]
    """Whether the leader's trials were disturbed."""
    whys: Mapping[str, str] = field(default_factory=dict)
    """Of a search: why each other method is not its answer."""


def result_of(comparison: Comparison, run: int = 0) -> Result | None:
    """Return what a run amounts to, or one on several machines; None where nothing was measured."""
    if len(machines := host_choices(comparison)) > 1:
        return _of_machines(comparison, machines[0])
    advice = recommend(comparison, run)
    rows = sorted(
        (row for row in comparison.of_run(run) if row.median(DECODE) and not is_control(row.method)),
        key=lambda row: -(row.median(DECODE) or 0),
    )
    if not rows:
        return None
    perhaps = [row for row in rows if row.kld is None or row.is_within(MAX_KLD)]
    leader = next((row for row in rows if row.method == advice.fastest), (perhaps or rows)[0])
    if advice.grade is None:
        speed = f"{fmt.printable(leader.method)}: {_speed(comparison, leader)}"
        return Result(leader.method, Content(f"{_capital(advice.headline)}. {speed}."), _lamp(leader))
    others = [row for row in perhaps if row.method not in advice.unjudged and rows.index(row) > rows.index(leader)]
    name = fmt.printable(leader.method)
    said = Content.assemble((f"{_OPENINGS[advice.grade]}{name}", "bold"), f": {_speed(comparison, leader)}")
    lead = _lead(comparison, leader, others[0]) if others else None
    sentence = said if lead is None else Content.assemble(said, ", ", lead)
    too_far = [row for row in rows[: rows.index(leader)] if row not in perhaps]
    return Result(leader.method, Content.assemble(sentence, _doubts(advice, leader), _beyond(too_far)), _lamp(leader))


def _of_machines(comparison: Comparison, best: HostChoice) -> Result:
    """Return which machine to take, and on which method of it."""
    first, *others = (f"{_capital(sentence)}." for sentence in host_lines(comparison))
    style = "$warning" if best.disturbed else "bold"
    said = Content.assemble((first, style), *(f" {sentence}" for sentence in others))
    row = next(row for row in comparison.of_run(best.run) if row.method == best.method)
    return Result(comparison.name(row), said, _lamp(row))


def answer_of(comparison: Comparison, limits: Limits) -> Result | None:
    """Return what a search found, in a sentence; None where nothing was measured."""
    measured = [row for row in comparison.of_run(0) if row.median(DECODE)]
    if not measured:
        return None
    step = next_step(comparison, limits, given_up={row.method for row in comparison.rows if row.failure})
    ended = Answer(None, ("the search was ended before it was over",))
    answer = step if isinstance(step, Answer) else ended
    fastest = max(measured, key=lambda row: row.median(DECODE) or 0)
    row = next((row for row in measured if row.method == answer.method), fastest)
    whys = {**dict.fromkeys(answer.rivals, "as fast, as far as can be told"), **(answer.out or {})}
    first, *doubts = answer_lines(comparison, answer, limits)[: 1 + len(answer.doubts)]
    said = Content(f"{_capital('. '.join(_capital(doubt) for doubt in doubts))}.") if doubts else Content()
    if isinstance(step, Answer):
        said = Content.assemble((f"{_capital(first)}. ", "bold"), (said.plain, "$warning"))
    return Result(row.method, said, _lamp(row), {name: fmt.printable(why) for name, why in whys.items()})


def _speed(comparison: Comparison, row: Row) -> str:
    against = row.against_yardstick
    if against is None:
        speed = fmt.rate(row.median(DECODE))
        return f"{speed}, the yardstick" if row.method == comparison.yardstick else speed
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
    told = leader.against_yardstick is not None and leader.against_yardstick.method == second.method
    return None if told or ratio is None else Content(f"{_times(ratio)} {name} {_interval(ratio)}")


def _doubts(advice: Recommendation, leader: Row) -> Content:
    """Return what else speaks against a better grade, with an example where it is a disturbance."""
    example = next((flag for flag in leader.flags if flag not in leader.doubts), None)
    doubts = [
        f"{each} ({fmt.printable(example)})" if each.endswith(_DISTURBED) and example else each
        for each in advice.because
        if not each.startswith(_RIVAL)
    ]
    return Content.assemble(". ", (f"{_capital('; '.join(doubts))}.", "$warning")) if doubts else Content(".")


def _beyond(faster: Sequence[Row]) -> Content:
    """Return which methods are faster than the leader, too far from FP32 to be taken."""
    if not faster:
        return Content()
    told = ", ".join(f"{fmt.printable(row.method)} (KLD {fmt.divergence(row.kld)})" for row in faster if row.kld)
    return Content(f" Faster, but beyond KLD {MAX_KLD:g}: {told}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _times(ratio: Ratio) -> str:
    return fmt.times(ratio.value)


def _interval(ratio: Ratio) -> str:
    return fmt.interval(ratio.low, ratio.high) or "[?]"


def _lamp(row: Row) -> tuple[str, str]:
    return _LAMPS[row.lamp]
