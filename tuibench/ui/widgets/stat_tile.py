"""One figure in digits three rows high, its name and unit beside it."""

from __future__ import annotations

from textual.reactive import var

from tuibench.core.format import MISSING
from tuibench.ui.widgets.plain_lines import PartRows, Row

_GLYPHS = {
    "0": ("╭─╮", "│ │", "╰─╯"),
    "1": (" ╶╮", "  │", "  ┴"),
    "2": ("╶─╮", "╭─╯", "╰─╴"),
    "3": ("╶─╮", " ─┤", "╶─╯"),
    "4": ("╷ ╷", "╰─┤", "  ╵"),
    "5": ("╭─╴", "╰─╮", "╶─╯"),
    "6": ("╭─╴", "├─╮", "╰─╯"),
    "7": ("╶─╮", "  │", "  ╵"),
    "8": ("╭─╮", "├─┤", "╰─╯"),
    "9": ("╭─╮", "╰─┤", "╶─╯"),
    ".": (" ", " ", "•"),
    ",": (" ", " ", "╯"),
    MISSING: ("   ", "───", "   "),
}
_BLANK = ("   ", "   ", "   ")


def large(text: str) -> tuple[str, str, str]:
    """Return the three rows of a number in large digits."""
    glyphs = [_GLYPHS.get(char, _BLANK) for char in text]
    return tuple("".join(glyph[row] for glyph in glyphs) for row in range(3))  # type: ignore[return-value] # three rows


class StatTile(PartRows):
    """A number with its unit, as `core.format` writes it: "12.4 tok/s"."""

    value: var[str] = var(MISSING)

    def __init__(self, label: str, unit: str, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id)
        self._label = label
        self._unit = unit

    def watch_value(self) -> None:
        """Draw the digits that are new."""
        if self.is_mounted:
            self.redraw()

    def rows(self) -> list[Row]:
        """Return the digits, the label at their top and the unit at their foot."""
        number, _, unit = self.value.partition(" ")
        rows = large(number)
        beside = (self._label, "", unit or self._unit)
        return [
            ((row, "" if number != MISSING else "$muted"), ("  ", ""), (side, "$muted"))
            for row, side in zip(rows, beside, strict=True)
        ]
