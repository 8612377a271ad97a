"""The README's first picture: a screenshot, and the question that each part of it answers, tied to it by an arrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape, unescape

_LEFT, _TOP, _ROW, _CELL = 9, 41, 24.4, 12.2
"""Where the terminal's first cell stands in Textual's drawing, and the size of a cell."""
_BELOW, _LINE, _SIZE = 190, 30, 22
_COLOUR, _INK, _PAPER = "#e5b567", "#dadada", "#0b0b0b"
_FONT = "system-ui, 'DejaVu Sans', Arial, sans-serif"
_TEXT = re.compile(r'<text[^>]* x="([\d.]+)" y="([\d.]+)" textLength="[\d.]+"[^>]*>([^<]*)</text>')
_WORDS = re.compile(r"[^\s│]+(?: [^\s│]+)*")
"""What stands in a cell of a table: two spaces part it from the next."""
_LAMP = "[●▲!≠]"


@dataclass(frozen=True)
class Callout:
    """A question, and the column of the table that answers it."""

    heading: str
    """Pattern of the column's heading; empty for the lamps, which have none."""
    lines: tuple[str, ...]


def explained(screenshot: str, question: str, callouts: Sequence[Callout]) -> str:
    """Return a screenshot of a comparison down to its table's last row, with callouts.

    Args:
        screenshot: Textual's drawing.
        question: What the headline answers, the first line in the first box.
        callouts: What the columns answer; their arrows point at the last row.

    Raises:
        LookupError: The screenshot has no such column, or nothing in it, or no table at all.
    """
    lines = _painted(screenshot)
    headings = next((row for row, line in enumerate(lines) if _first(line) == "method"), None)
    last = next((row for row in range(headings or 0, len(lines)) if lines[row].startswith("╰")), 0) - 1
    if headings is None or last <= headings:
        raise LookupError("there is no table on the screen")
    found = re.search(r'viewBox="0 0 ([\d.]+)', screenshot)
    width, height = float(found[1]) if found else 0.0, _TOP + (last + 1) * _ROW + 4
    below = [(_middle(lines[headings], lines[last], callout.heading), callout) for callout in callouts]
    below.sort(key=lambda pair: pair[0])
    headline = next(row for row, line in enumerate(lines) if line.startswith("╭")) + 1
    parts = [_beside(_LEFT + _CELL * len(lines[headline].rstrip(" │")), _height(headline), question)]
    for number, (x, callout) in enumerate(below):
        at = (number + 0.5) * width / len(below)
        parts.append(_arrow(at, height + 52, x, _height(last) + 14))
        parts.append(_words(at, height + 82, callout.lines, "middle"))
    inner = screenshot.replace("<svg ", f'<svg width="{width:g}" height="{height:g}" ', 1)
    inner = re.sub(r'viewBox="0 0 [\d.]+ [\d.]+"', f'viewBox="0 0 {width:g} {height:g}"', inner, count=1)
    tip = (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        f'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{_COLOUR}"/></marker></defs>'
    )
    whole = f'viewBox="0 0 {width:g} {height + _BELOW:g}"'
    paper = f'<rect width="100%" height="100%" fill="{_PAPER}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {whole}>{tip}{paper}{inner}{"".join(parts)}</svg>\n'


def _painted(screenshot: str) -> list[str]:
    """Return what stands on the screen, row by row, each character in its cell."""
    rows: dict[float, str] = {}
    for x, y, content in _TEXT.findall(screenshot):
        before = rows.get(float(y), "").ljust(round(float(x) / _CELL))
        rows[float(y)] = before + unescape(content).replace("\N{NO-BREAK SPACE}", " ").rstrip("\n")
    return [rows[y] for y in sorted(rows)]


def _first(line: str) -> str:
    found = _WORDS.search(line)
    return found[0] if found else ""


def _middle(headings: str, row: str, heading: str) -> float:
    """Return where on the drawing the middle of a row's cell is, under a heading."""
    for start, end in _columns(headings, row, heading):
        cell = next((cell for cell in _WORDS.finditer(row) if cell.start() < end and cell.end() > start), None)
        if cell is not None and cell[0] != "–":
            return _LEFT + _CELL * (cell.start() + cell.end()) / 2
    raise LookupError(f"the table's last row has nothing in a column {heading or 'of lamps'!r}")


def _columns(headings: str, row: str, heading: str) -> Iterator[tuple[int, int]]:
    if not heading:
        yield from (found.span() for found in re.finditer(rf"{_LAMP}(?=\s*│)", row))
        return
    for found in _WORDS.finditer(headings):
        if re.fullmatch(heading, found[0].removesuffix(" ▾")):
            yield found.span()


def _height(row: int) -> float:
    """Return where on the drawing the middle of a row is."""
    return _TOP + row * _ROW + 13


def _beside(x: float, y: float, question: str) -> str:
    return _arrow(x + 90, y, x + 14, y) + _words(x + 102, y + 7, (question,), "start")


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    way = f"M{x:g} {y:g} L{to_x:g} {to_y:g}"
    return f'<path d="{way}" stroke="{_COLOUR}" stroke-width="2.5" fill="none" marker-end="url(#tip)"/>'


def _words(x: float, y: float, lines: tuple[str, ...], anchor: str) -> str:
    return "".join(
        f'<text x="{x:g}" y="{y + number * _LINE:g}" text-anchor="{anchor}" fill="{_INK if number else _COLOUR}" '
        f'font-family="{_FONT}" font-size="{_SIZE}">{escape(words)}</text>'
        for number, words in enumerate(lines)
    )
