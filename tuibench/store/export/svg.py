"""The few shapes that the plots are made of, as SVG text. Everything from outside is escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from tuibench.core.format import printable

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
FONT = "system-ui, 'DejaVu Sans', Arial, sans-serif"
# The first six are Okabe & Ito's, the yellow darkened for white paper; names stand beside all lines and points.
SERIES = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9",
    "#7f3c8d", "#1f2328", "#b5495b", "#3f7f3f", "#6e7781", "#d4a017",
)  # fmt: skip


def element(name: str, *content: str, **attributes: object) -> str:
    """Return an element; an underscore in an attribute's name is written as a hyphen."""
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(_number(value))}" for key, value in attributes.items()
    )
    return f"<{name}{told}>{''.join(content)}</{name}>" if content else f"<{name}{told}/>"


def text(x: float, y: float, content: str, **attributes: object) -> str:
    """Return a line of text."""
    return element("text", escape(printable(content)), x=x, y=y, **{"fill": INK, **attributes})


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"stroke": GRID, **attributes})


def polyline(points: Iterable[tuple[float, float]], **attributes: object) -> str:
    """Return a line through points."""
    path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return element("polyline", points=path, fill="none", **attributes)


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values of one axis laid out on the drawing."""

    low: float
    high: float
    start: float
    """Where `low` lies."""
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        low, high, at = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return a handful of round values within the scale."""
        return _decades(self.low, self.high) if self.logarithmic else _round_steps(self.low, self.high)


def scale_over(
    values: Sequence[float], start: float, end: float, *, from_zero: bool = False, logarithmic: bool = False
) -> Scale:
    """Return a scale that holds all values with some air around them; logarithmic only for positive ones."""
    low, high = min(values), max(values)
    if logarithmic:
        return Scale(low / 1.3, high * 1.3, start, end, logarithmic=True)
    air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return Scale(0.0 if from_zero else low - air, high + air, start, end)


def _round_steps(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    coarse = [10.0**power for power in powers]
    inside = [value for value in fine if low <= value <= high]
    return inside if len(inside) <= 7 else [value for value in coarse if low <= value <= high]  # noqa: PLR2004
