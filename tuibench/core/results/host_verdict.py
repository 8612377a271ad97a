"""Which machine to take: the fastest, and where prices are known the cheapest for a million tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.machine.validity import Lamp
from tuibench.core.results.comparison import Comparison
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.method_trials import ratio_between_runs
from tuibench.core.results.metrics import DECODE
from tuibench.core.results.ratio_words import interval_and_outcome
from tuibench.core.results.row import REFERENCE
from tuibench.core.results.verdict import recommend
from tuibench.core.run.shape import Shape, describe, swept_axes
from tuibench.core.statistics.stats import Ratio

CANNOT_TELL = "cannot tell, badly disturbed; "
"""What a sentence about disturbed trials begins with."""


@dataclass(frozen=True, slots=True)
class HostChoice:
    """What to run on a machine: the fastest method that is close enough to the reference."""

    run: int
    host: str
    method: str
    decode_tps: float
    price_per_hour: float | None
    judged: bool
    """Whether it is known to be close to the reference, or is it."""
    disturbed: bool
    """Whether its trials were badly disturbed."""
    shape: Shape | None = None
    """Of a sweep, under which one."""

    @property
    def price_per_million_tokens(self) -> float | None:
        """Of one stream of tokens that never stops; None without a price."""
        return None if self.price_per_hour is None else self.price_per_hour / 3600 / self.decode_tps * 1e6


def host_choices(comparison: Comparison) -> tuple[HostChoice, ...]:
    """Return the choice for each machine of a comparison on which something was measured, the fastest first.

    Of a sweep, the choices under each shape, shape by shape.
    """
    found = [_choice(comparison, number, run) for number, run in enumerate(comparison.runs) if run.host is not None]
    shapes = {shape: place for place, shape in enumerate(dict.fromkeys(run.shape for run in comparison.runs))}
    return tuple(sorted(filter(None, found), key=lambda choice: (shapes[choice.shape], -choice.decode_tps)))


def _choice(comparison: Comparison, number: int, run: MeasuredRun) -> HostChoice | None:
    advice = recommend(comparison, number)
    rows = {row.method: speed for row in comparison.of_run(number) if (speed := row.median(DECODE)) is not None}
    may = [name for name in rows if name not in advice.unjudged]
    method = advice.fastest or max(may, key=lambda name: rows[name], default=None)
    if method is None or run.host is None:
        return None
    row = comparison.row(number, method)
    return HostChoice(
        number,
        run.host,
        method,
        rows[method],
        run.price_per_hour,
        judged=advice.fastest is not None or method == REFERENCE,
        disturbed=row is not None and row.lamp is Lamp.RED,
        shape=run.shape,
    )


def host_lines(comparison: Comparison) -> list[str]:
    """Return a sentence on the fastest machine and, where prices are known, one on the cheapest; none for one machine.

    For example `cheapest: fused-int8 on small: 0.021 per million tokens, 1.80 × cheaper than on big [1.71, 1.89]`.
    Of a sweep, those of each shape, after its name, and at the end what is the same for all.
    """
    choices = host_choices(comparison)
    shapes = tuple(dict.fromkeys(choice.shape for choice in choices))
    axes = swept_axes(tuple(filter(None, shapes)))
    lines: list[str] = []
    for shape in shapes:
        under = f"{words}: " if shape is not None and (words := describe(shape, axes)) else ""
        of_shape = [choice for choice in choices if choice.shape == shape]
        lines += [f"{under}{line}" for line in _lines(comparison, of_shape)]
    several = [choice for choice in choices if sum(other.shape == choice.shape for other in choices) > 1]
    return list(map(fmt.printable, [*lines, *_remarks(several)]))


def _lines(comparison: Comparison, choices: Sequence[HostChoice]) -> list[str]:
    if len(choices) <= 1:
        return []
    fastest, second = choices[:2]
    ratio = _speeds(comparison, fastest, second)
    speed = f"{fmt.rate(fastest.decode_tps)}, {fmt.times(ratio.value)} {_named(second)} {interval_and_outcome(ratio)}"
    lines = [f"{_opening('fastest', fastest, second)}: {_named(fastest)}: {speed}"]
    priced = sorted(
        ((price, choice) for choice in choices if (price := choice.price_per_million_tokens) is not None),
        key=lambda pair: pair[0],
    )
    if len(priced) > 1:
        lines.append(_cheapest(comparison, *priced[:2]))
    return lines


def _remarks(choices: Sequence[HostChoice]) -> list[str]:
    lines = []
    unpriced = tuple(dict.fromkeys(choice.host for choice in choices if choice.price_per_hour is None))
    if unpriced and any(choice.price_per_hour is not None for choice in choices):
        lines.append(f"no price is known of {', '.join(unpriced)}: `price_per_hour` in the settings")
    if not all(choice.judged for choice in choices):
        lines.append(
            "closeness to the reference was not measured everywhere: these are the fastest, whatever they compute"
        )
    return lines


def _cheapest(comparison: Comparison, first: tuple[float, HostChoice], second: tuple[float, HostChoice]) -> str:
    (price, choice), (dearer, other) = first, second
    ratio = _speeds(comparison, choice, other)
    scale = dearer / price / ratio.value  # prices are known exactly
    than = f"on {other.host}" if other.method == choice.method else _named(other)
    times = Ratio(
        value=ratio.value * scale,
        low=None if ratio.low is None else ratio.low * scale,
        high=None if ratio.high is None else ratio.high * scale,
        n=ratio.n,
        paired=ratio.paired,
    )
    return (
        f"{_opening('cheapest', choice, other)}: {_named(choice)}: {_money(price)} per million tokens, "
        f"{fmt.times(times.value)} cheaper than {than} {interval_and_outcome(times)}"
    )


def _opening(word: str, *choices: HostChoice) -> str:
    return f"{CANNOT_TELL}{word} so far" if any(choice.disturbed for choice in choices) else word


def _speeds(comparison: Comparison, ours: HostChoice, theirs: HostChoice) -> Ratio:
    measured = comparison.measured
    found = ratio_between_runs(measured[ours.run][ours.method], measured[theirs.run][theirs.method])
    return found or Ratio(ours.decode_tps / theirs.decode_tps, None, None, 0, paired=False)


def _named(choice: HostChoice) -> str:
    return f"{choice.method} on {choice.host}"


def _money(amount: float) -> str:
    return f"{amount:.2g}" if amount < 1 else f"{amount:.2f}"
