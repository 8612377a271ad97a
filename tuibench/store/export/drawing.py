"""What the plots share: their size, titles and axes, and names that do not cover each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from tuibench.store.export.svg import FONT, MUTED, PAPER, Scale, element, line, text

WIDTH, HEIGHT = 720.0, 320.0
NARROW = 440.0
"""Width of a drawing that is read on a telephone, too: its letters stay legible at 330 pixels."""
LEFT, RIGHT, TOP, BOTTOM = 70.0, 24.0, 40.0, 46.0
_TITLE_CHAR, _TITLE_LINE = 10.0, 20.0
"""Width of a bold letter where the browser's letters are wide, and height of a line."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing of its own size."""

    title: str
    height: float
    body: str
    width: float = WIDTH

    def standalone(self) -> str:
        """Return it as a whole SVG element."""
        return whole_svg(self.body, self.height, self.width)


def whole_svg(body: str, height: float, width: float = WIDTH) -> str:
    """Return a drawing as an SVG element on paper."""
    paper = element("rect", width="100%", height="100%", fill=PAPER)
    return element(
        "svg", paper, body, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:g} {height:g}",
        width=width, height=height, font_family=FONT, font_size=12,
    )  # fmt: skip


def title_of(words: str) -> str:
    """Return the line above a plot."""
    return text(16.0, 24.0, words, font_size=15, font_weight="bold")


def titled(title: str, height: float, body: str, width: float) -> Plot:
    """Return a plot below its title, which takes as many lines as it needs."""
    lines = wrap(title, int((width - 32.0) / _TITLE_CHAR))
    below = _TITLE_LINE * (len(lines) - 1)
    head = [text(16.0, 24.0 + _TITLE_LINE * n, each, font_size=15, font_weight="bold") for n, each in enumerate(lines)]
    moved = element("g", body, transform=f"translate(0 {below:g})") if below else body
    return Plot(title, height + below, "".join([*head, moved]), width)


def axes(x: Scale, y: Scale, x_label: str, y_label: str, *, name_x: Namer, name_y: Namer) -> str:
    """Return both axes with their values."""
    bottom, left = y.start, x.start
    parts = [line(left, bottom, x.end, bottom, stroke=MUTED)]
    for value in y.ticks():
        parts.append(line(left, y(value), x.end, y(value)))
        parts.append(text(left - 8, y(value) + 4, name_y(value), text_anchor="end", fill=MUTED))
    for value in x.ticks():
        parts.append(line(x(value), bottom, x(value), bottom + 4, stroke=MUTED))
        parts.append(text(x(value), bottom + 18, name_x(value), text_anchor="middle", fill=MUTED))
    parts.append(text((left + x.end) / 2, bottom + 38, x_label, text_anchor="middle"))
    middle = (y.start + y.end) / 2
    parts.append(text(16.0, middle, y_label, text_anchor="middle", transform=f"rotate(-90 16 {middle:g})"))
    return "".join(parts)


Namer = Callable[[float], str]


def plain(value: float) -> str:
    """Return a number as it is."""
    return f"{value:g}"


def spread(wanted: Sequence[tuple[float, str]], apart: float = 14.0) -> dict[str, float]:
    """Return heights near those wanted, far enough apart for labels not to cover each other."""
    placed: dict[str, float] = {}
    last = float("-inf")
    for y, name in sorted(wanted):
        last = max(y, last + apart)
        placed[name] = last
    return placed
