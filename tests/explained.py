"""The README's first picture: a screenshot, and the question that each part of it answers, tied to it by an arrow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape

_LEFT, _TOP, _ROW = 9, 41, 24.4
"""Where the terminal's first cell stands in Textual's drawing, and the height of a row."""
_BELOW, _LINE, _SIZE = 190, 30, 22
_COLOUR, _INK, _PAPER = "#e5b567", "#dadada", "#0b0b0b"
_FONT = "system-ui, 'DejaVu Sans', Arial, sans-serif"
_TEXT = re.compile(r'<text[^>]* x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>([^<]*)</text>')


@dataclass(frozen=True)
class Callout:
    """A question, and its answer's place on the screen."""

    shown: str
    """Pattern of the text that the arrow points at."""
    lines: tuple[str, ...]
    beside: bool = False
    """Whether there is room to the right of the text; all others stand below the screen."""


def explained(screenshot: str, callouts: list[Callout], row: str, n_rows: int) -> str:
    """Return a screenshot's first rows with callouts.

    Args:
        screenshot: Textual's drawing.
        callouts: What to point at.
        row: What the row begins with that arrows from below point at: the last one above the cut.
        n_rows: Rows above the cut.

    Raises:
        LookupError: A text that an arrow is to point at is not on the screen.
    """
    found = re.search(r'viewBox="0 0 ([\d.]+)', screenshot)
    width, height = float(found[1]) if found else 0.0, _TOP + n_rows * _ROW + 4
    below = [callout for callout in callouts if not callout.beside]
    below.sort(key=lambda callout: _place(screenshot, callout, row)[0])
    parts = [_beside(_place(screenshot, callout, ""), callout) for callout in callouts if callout.beside]
    for number, callout in enumerate(below):
        x, y = _place(screenshot, callout, row)
        at = (number + 0.5) * width / len(below)
        parts.append(_arrow(at, height + 52, x, y + 14) + _words(at, height + 82, callout.lines, "middle"))
    inner = screenshot.replace("<svg ", f'<svg width="{width:g}" height="{height:g}" ', 1)
    inner = re.sub(r'viewBox="0 0 [\d.]+ [\d.]+"', f'viewBox="0 0 {width:g} {height:g}"', inner, count=1)
    tip = (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        f'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{_COLOUR}"/></marker></defs>'
    )
    whole = f'viewBox="0 0 {width:g} {height + _BELOW:g}"'
    paper = f'<rect width="100%" height="100%" fill="{_PAPER}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {whole}>{tip}{paper}{inner}{"".join(parts)}</svg>\n'


def _place(screenshot: str, callout: Callout, row: str) -> tuple[float, float]:
    """Return the middle of a text on the drawing, or its end where the callout stands beside it."""
    found = [(float(x), y, float(length), _plain(content)) for x, y, length, content in _TEXT.findall(screenshot)]
    heights = {y for _, y, _, text in found if text.strip().startswith(row)}
    for x, y, length, text in found:
        if y in heights and (match := re.search(callout.shown, text)):
            at = match.end() if callout.beside else (match.start() + match.end()) / 2
            return _LEFT + x + length * at / len(text), _TOP + float(y) - 7
    raise LookupError(f"{callout.shown!r} is not on the screen")


def _plain(content: str) -> str:
    return unescape(content).replace("\N{NO-BREAK SPACE}", " ")


def _beside(place: tuple[float, float], callout: Callout) -> str:
    x, y = place
    return _arrow(x + 90, y, x + 14, y) + _words(x + 102, y + 7, (" ".join(callout.lines),), "start")


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    way = f"M{x:g} {y:g} L{to_x:g} {to_y:g}"
    return f'<path d="{way}" stroke="{_COLOUR}" stroke-width="2.5" fill="none" marker-end="url(#tip)"/>'


def _words(x: float, y: float, lines: tuple[str, ...], anchor: str) -> str:
    return "".join(
        f'<text x="{x:g}" y="{y + number * _LINE:g}" text-anchor="{anchor}" fill="{_INK if number else _COLOUR}" '
        f'font-family="{_FONT}" font-size="{_SIZE}">{escape(words)}</text>'
        for number, words in enumerate(lines)
    )
