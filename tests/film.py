"""Pictures of a terminal, one after the other, as one SVG that plays by itself: no script, nothing to load.

The frames lie side by side on a strip, which CSS moves behind a window, a frame at a time. Lines that several frames
share are stored once, and so are bands of lines: what does not change costs nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

CELL, LINE, FONT = 8, 17, 13.3
BASE = 13
"""Where the letters of a line stand, below its top: the film's origin, so that no text needs to say it."""
BAND = 6
"""Lines that are stored together where they stay together."""
PAPER, INK = "#121314", "#d8d9da"
_SIXTEEN = (
    "#1c1d1f", "#e5534b", "#57ab5a", "#c69026", "#539bf5", "#b083f0", "#39c5cf", "#adbac7",
    "#636e7b", "#ff938a", "#8ddb8c", "#daaa3f", "#6cb6ff", "#dcbdfb", "#56d4dd", "#cdd9e5",
)  # fmt: skip
_SGR = re.compile(r"\x1b\[([0-9;:]*)m|\x1b[()].|[\x0e\x0f]")


@dataclass(frozen=True)
class Frame:
    """What the terminal shows, and how long."""

    lines: tuple[str, ...]
    """As `tmux capture-pane -e -N` prints them: text with SGR sequences, which last from line to line."""
    caption: str
    shown_s: float


@dataclass(frozen=True)
class Style:
    ink: str = INK
    paper: str = PAPER
    bold: bool = False
    italic: bool = False
    underlined: bool = False
    dim: bool = False
    reverse: bool = False


Span = tuple[int, str, Style]
"""Column, text, and how it looks."""


def animated_svg(frames: Sequence[Frame], columns: int, lines: int) -> str:
    """Return the frames as one picture that begins again when it is over."""
    width, height = columns * CELL, lines * LINE
    scenes = [list(_lines(frame.lines, columns))[:lines] for frame in frames]
    store = _Store(_commonest_paper(scenes))
    shown = []
    for number, (frame, spans) in enumerate(zip(frames, scenes, strict=True)):
        bands = (_band(store, spans[start : start + BAND]) for start in range(0, lines, BAND))
        uses = "".join(f'<use href="#{name}" y="{start * LINE * BAND}"/>' for start, name in enumerate(bands) if name)
        caption = f'<text class="c" x="4" y="{height + 4}">{escape(frame.caption)}</text>'
        shown.append(f'<g transform="translate({number * width})">{uses}{caption}</g>')
    total_s = sum(frame.shown_s for frame in frames)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 {width + 24} {height + LINE + 32}" '
        f'font-family="ui-monospace, \'DejaVu Sans Mono\', Menlo, Consolas, monospace" font-size="{FONT}">'
        f"<style>text{{white-space:pre;fill:{INK}}}.c{{font-weight:bold;fill:#8ab4f8}}"
        f".film{{animation:film {total_s:.2f}s steps(1,end) infinite}}{_keyframes(frames, width, total_s)}"
        f"@media (prefers-reduced-motion:reduce){{.film{{animation:none}}}}{store.rules()}</style>"
        f"<defs>{''.join(store.parts)}</defs>"
        f'<rect x="-12" y="-12" width="100%" height="100%" rx="8" fill="{store.paper}"/>'
        f'<svg width="{width}" height="{height + LINE + 8}" viewBox="0 {-BASE} {width} {height + LINE + 8}">'
        f'<g class="film">{"".join(shown)}</g></svg></svg>\n'
    )


def _commonest_paper(scenes: Iterable[Iterable[Iterable[Span]]]) -> str:
    """Return the paper that most cells have: only what lies on another is drawn with one."""
    cells: Counter[str] = Counter()
    for scene in scenes:
        for spans in scene:
            for _, text, style in spans:
                cells[style.paper] += len(text)
    return max(cells, key=cells.__getitem__, default=PAPER)


def _keyframes(frames: Sequence[Frame], width: int, total_s: float) -> str:
    stops, at_s = [], 0.0
    for number, frame in enumerate(frames):
        stops.append(f"{100 * at_s / total_s:.2f}%{{transform:translateX({-number * width}px)}}")
        at_s += frame.shown_s
    return f"@keyframes film{{{''.join(stops)}}}"


class _Store:
    """Parts that are drawn in several places, and the styles they use."""

    def __init__(self, paper: str) -> None:
        self.paper = paper
        self.parts: list[str] = []
        self._names: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._styles: dict[str, str] = {}

    def named(self, drawn: str) -> str:
        """Return the name of what is drawn, stored now unless it was; empty for nothing."""
        if drawn and drawn not in self._names:
            self._names[drawn] = f"p{len(self._names)}"
            self.parts.append(f'<g id="{self._names[drawn]}">{drawn}</g>')
        return self._names.get(drawn, "")

    def text(self, drawn: str) -> str:
        """Return an element for a text; where it was drawn before, one that points to it."""
        if drawn in self._texts:
            return f'<use href="#{self._texts[drawn]}"/>'
        self._texts[drawn] = f"t{len(self._texts)}"
        return f'<text id="{self._texts[drawn]}"{drawn}</text>'

    def style(self, style: Style) -> str:
        """Return the class of a text's style."""
        rules = f"fill:{_faded(style) if style.dim else style.ink}"
        rules += ";font-weight:bold" * style.bold + ";font-style:italic" * style.italic
        rules += ";text-decoration:underline" * style.underlined
        return self._styles.setdefault(rules, f"s{len(self._styles)}")

    def rules(self) -> str:
        """Return the style sheet."""
        return "".join(f".{name}{{{rules}}}" for rules, name in self._styles.items())


def _band(store: _Store, lines: Sequence[Sequence[Span]]) -> str:
    names = (store.named(_line(store, spans)) for spans in lines)
    uses = (f'<use href="#{name}" y="{number * LINE}"/>' for number, name in enumerate(names) if name)
    return store.named("".join(uses))


def _line(store: _Store, spans: Sequence[Span]) -> str:
    papers = (
        f'<rect x="{column * CELL}" y="{-BASE}" width="{len(text) * CELL}" height="{LINE}" fill="{style.paper}"/>'
        for column, text, style in _joined(spans)
        if style.paper != store.paper
    )
    return "".join([*papers, *(_text(store, *span) for span in spans if span[1].strip())])


def _joined(spans: Sequence[Span]) -> Iterator[Span]:
    """Yield neighbours on the same paper as one."""
    last: Span | None = None
    for column, text, style in spans:
        if last is not None and last[2].paper == style.paper:
            last = (last[0], last[1] + text, style)
            continue
        if last is not None:
            yield last
        last = (column, text, style)
    if last is not None:
        yield last


def _text(store: _Store, column: int, text: str, style: Style) -> str:
    bare = text.rstrip() if not style.underlined else text
    column += len(bare) - len(bare.lstrip())
    bare = bare.lstrip()
    # Told its length, it keeps to its columns in whatever font there is.
    length = f' textLength="{len(bare) * CELL}"' if len(bare) > 1 else ""
    return store.text(f' class="{store.style(style)}" x="{column * CELL}"{length}>{escape(bare)}')


def _lines(lines: Iterable[str], columns: int) -> Iterator[list[Span]]:
    style = Style()
    for line in lines:
        spans: list[Span] = []
        column = start = 0
        for match in [*_SGR.finditer(line), None]:
            text = line[start : match.start() if match else None][: max(0, columns - column)]
            if text:
                spans.append((column, text, _turned(style)))
                column += len(text)
            if match:
                start = match.end()
                style = _after(style, match[1]) if match[1] is not None else style
        yield spans


def _turned(style: Style) -> Style:
    return replace(style, ink=style.paper, paper=style.ink, reverse=False) if style.reverse else style


def _after(style: Style, codes: str) -> Style:
    """Return the style after an SGR sequence."""
    numbers = iter([int(code or 0) for code in codes.replace(":", ";").split(";")])
    for number in numbers:
        match number:
            case 0:
                style = Style()
            case 1 | 3 | 4 | 2 | 7:
                name = {1: "bold", 2: "dim", 3: "italic", 4: "underlined", 7: "reverse"}[number]
                style = replace(style, **{name: True})
            case 22:
                style = replace(style, bold=False, dim=False)
            case 23 | 24 | 27:
                style = replace(style, **{{23: "italic", 24: "underlined", 27: "reverse"}[number]: False})
            case 38 | 48:
                colour = _colour(numbers)
                style = replace(style, ink=colour) if number == 38 else replace(style, paper=colour)
            case 39:
                style = replace(style, ink=INK)
            case 49:
                style = replace(style, paper=PAPER)
            case _ if 30 <= number % 60 < 38:
                style = replace(style, ink=_SIXTEEN[number % 60 - 30 + 8 * (number >= 90)])
            case _ if 40 <= number % 60 < 48:
                style = replace(style, paper=_SIXTEEN[number % 60 - 40 + 8 * (number >= 100)])
    return style


def _colour(numbers: Iterator[int]) -> str:
    if next(numbers) == 2:
        return f"#{next(numbers):02x}{next(numbers):02x}{next(numbers):02x}"
    index = next(numbers)
    if index < 16:
        return _SIXTEEN[index]
    if index >= 232:
        return f"#{8 + 10 * (index - 232):02x}" + f"{8 + 10 * (index - 232):02x}" * 2
    levels = [0, 95, 135, 175, 215, 255]
    red, green, blue = (levels[(index - 16) // base % 6] for base in (36, 6, 1))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _faded(style: Style) -> str:
    pairs = ((int(style.ink[at : at + 2], 16), int(style.paper[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{(ink * 3 + paper * 2) // 5:02x}" for ink, paper in pairs)
