"""What is drawn where a terminal lacks our characters: an exchange one for one, at the edge of the program.

Every widget draws in Unicode. Where that cannot be shown, each character is exchanged for one of the same width just
before it is painted, so that no widget has a second way of drawing.
"""

from __future__ import annotations

import subprocess
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

Glyphs = Literal["unicode", "console", "ascii"]
"""`console` is what the fonts of the Linux console hold: code page 437, thus lines and half blocks, but no braille."""

_TMUX_ANSWERS_S = 1.0
_BRAILLE = range(0x2800, 0x2900)
_FIRST_BEYOND_ASCII = 0x80
_UPPER_DOTS, _LOWER_DOTS = 0x01 | 0x02 | 0x08 | 0x10, 0x04 | 0x20 | 0x40 | 0x80
_TOP_ROW, _BOTTOM_ROW = 0x01 | 0x08, 0x40 | 0x80

_CODE_PAGE_437 = frozenset(bytes(range(0x80, 0x100)).decode("cp437") + "•◘○◙♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼☺☻♥♦♣♠")


def _exchanges(*pairs: str) -> dict[str, str]:
    """Return a table from pairs `characters replacement`."""
    return {char: pair[-1] for pair in pairs for char in pair[:-2]}


_CONSOLE = _exchanges(
    "╭ ┌", "╮ ┐", "╰ └", "╯ ┘", "━╌┄┈╸╺╴╶╍┅┉⎯ ─", "┃╎┆┊╹╻╵╷╏┇┋ │", "┏ ┌", "┓ ┐", "┗ └", "┛ ┘", "┣ ├", "┫ ┤",
    "┳ ┬", "┻ ┴", "╋ ┼", "▁▂▃ _", "▅▆▇▉▊ █", "▋▍▎▏▕🭰 ▌", "▔🮂🮃 ▀", "✓✔ √", "✗✘✕ x", "▶▸❯⏵ ►", "◀◂❮ ◄", "▾⮟ ▼", "▴ ▲",
    "↷⏭ »", "⏸ ‼", "●◉⬤ •", "◆◇ ♦", "–— -", "… .", "“”„ \"", "‘’‚ '", "× x", "− -", "★☆ *", "≠ #", "⇒ →", "⌘ #",
    "☐ ○", "☑ •", "∅ ø", "▪ ■", "▫□ ○", "‹ <", "› >", "⏎ ◄",
)  # fmt: skip
_ASCII = _exchanges(
    "─━╌┄┈═╸╺╴╶╍┅┉⎯▔▀🮂🮃 -", "│┃╎┆┊║╹╻╵╷╏┇┋▌▐▋▍▎▏▕🭰 |", "▁▂▃▄ _", "█▅▆▇▉▊■▪ #", "░ .", "▒ :", "▓ %",
    "✓✔√ +", "✗✘✕ x", "▶▸❯⏵► >", "◀◂❮◄ <", "▾⮟▼ v", "▴▲ ^", "↷⏭» >", "⏸‼ =", "●◉⬤• *", "○◯▫□ o", "◆◇♦ *",
    "· .", "–—− -", "… ~", "“”„ \"", "‘’‚ '", "× x", "★☆ *", "≠ !", "≤ <", "≥ >", "≈± ~",
    "→⇒ >", "← <", "↑ ^", "↓ v",
    "↕ |", "↔ -", "° o", "µμ u", "∅ o", "‖ |", "☐ o", "☑ x", "σ s", "Δ d", "‹ <", "› >", "⏎ <",
)  # fmt: skip


def tmux_takes_utf8() -> bool | None:
    """Return whether the terminal that tmux draws on takes UTF-8, as tmux itself has found; None if it does not say."""
    try:
        said = subprocess.run(
            ["tmux", "display-message", "-p", "#{client_utf8}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TMUX_ANSWERS_S,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {b"1": True, b"0": False}.get(said)


def detect_glyphs(environ: Mapping[str, str], tmux: Callable[[], bool | None] = tmux_takes_utf8) -> Glyphs:
    """Return what a terminal can draw, by its environment.

    Within tmux only tmux knows: without UTF-8 it paints an underscore for each character beyond ASCII.

    Python turns an unset locale into `C.UTF-8`, which is right: hardly a terminal is left that does not take UTF-8
    and does not say so.
    """
    if "WebDriver" in environ.get("TEXTUAL_DRIVER", ""):
        return "unicode"  # a browser shows everything, whatever the server's locale
    if environ.get("TMUX") and tmux() is False:
        return "ascii"
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    _, _, codeset = locale.partition(".")
    if locale in {"C", "POSIX"} or (codeset and not codeset.lower().replace("-", "").startswith("utf8")):
        return "ascii"
    return "console" if environ.get("TERM") == "linux" else "unicode"


class GlyphFilter(LineFilter):
    """Exchanges what a terminal cannot draw. Does nothing, and costs nothing, with `unicode`."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(enabled=glyphs != "unicode")
        self._exchange = console_text if glyphs == "console" else ascii_text

    def apply(self, segments: Sequence[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - as prescribed
        """Exchange the text of a line."""
        return [
            segment if segment.text.isascii() else Segment(self._exchange(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def ascii_text(text: str) -> str:
    """Return the text in ASCII, as wide as before."""
    return "".join(map(_ascii, text))


def console_text(text: str) -> str:
    """Return the text in the characters of code page 437, as wide as before."""
    return "".join(map(_console, text))


@lru_cache(4096)
def _ascii(char: str) -> str:
    code = ord(char)
    if code < _FIRST_BEYOND_ASCII:
        return char
    if code in _BRAILLE:
        return _braille_in_ascii(code - _BRAILLE.start)
    if char in _ASCII:
        return _ASCII[char]
    if unicodedata.name(char, "").startswith("BOX DRAWINGS"):
        return "+"
    return _plain_or_question_mark(char)


@lru_cache(4096)
def _console(char: str) -> str:
    code = ord(char)
    if code < _FIRST_BEYOND_ASCII or char in _CODE_PAGE_437:
        return char
    if code in _BRAILLE:
        return _braille_in_blocks(code - _BRAILLE.start)
    return _CONSOLE.get(char) or _plain_or_question_mark(char)


def _plain_or_question_mark(char: str) -> str:
    """Return a letter without its accent; else question marks as wide as the character, nothing for a combining one."""
    width = cell_len(char)
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return plain if plain and len(plain) == width else "?" * width


def _braille_in_ascii(dots: int) -> str:
    if not dots:
        return " "
    upper, lower = dots & _UPPER_DOTS, dots & _LOWER_DOTS
    if upper and lower:
        return "|" if dots & _TOP_ROW and dots & _BOTTOM_ROW else "-"
    if upper:
        return "'" if dots & _TOP_ROW else "-"
    return "." if dots & _BOTTOM_ROW else "-"


def _braille_in_blocks(dots: int) -> str:
    upper, lower = dots & _UPPER_DOTS, dots & _LOWER_DOTS
    if upper and lower:
        return "█"
    return "▀" if upper else "▄" if lower else " "
