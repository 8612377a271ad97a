"""Lines drawn with braille cells: numbers in, rows of characters out. Knows nothing of a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

DOTS_X = 2
DOTS_Y = 4
_BLANK = 0x2800
_LETTER_EVERY, _LETTER_STEP = 13, 5
"""Cells from one letter on a line to the next, and from one line's to the next line's."""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


class Columns:
    """The largest value of each dot column, kept up to date by what is new only.

    A plot that picks every n-th value hides the spikes it is looked at for; the largest of each column cannot.
    """

    def __init__(self, n_values: int, n_columns: int) -> None:
        self._n_values = max(1, n_values)
        self.columns: list[float | None] = [None] * n_columns
        self.n_seen = 0
        self.largest: float | None = None

    def extend(self, values: Sequence[float]) -> None:
        """Add values; those beyond the expected number share the last column."""
        n_columns = len(self.columns)
        for value in values:
            first = min(self.n_seen * n_columns // self._n_values, n_columns - 1)
            end = max(first + 1, min((self.n_seen + 1) * n_columns // self._n_values, n_columns))
            for x in range(first, end):
                before = self.columns[x]
                self.columns[x] = value if before is None else max(before, value)
            self.n_seen += 1
            self.largest = value if self.largest is None else max(self.largest, value)


@dataclass(frozen=True, slots=True)
class LogScale:
    """From `low` at the bottom to `high` at the top, as many decades as needed: fast and slow in one plot."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Return how high up a value is, 0 to 1."""
        if value <= self.low:
            return 0.0
        return min(1.0, math.log(value / self.low) / math.log(self.high / self.low))

    def ticks(self) -> list[float]:
        """Return 1, 2 and 5 times the powers of ten in between, the ends included."""
        found = []
        exponent = math.floor(math.log10(self.low))
        while (power := 10.0**exponent) <= self.high * 1.001:
            found += [step * power for step in (1, 2, 5) if self.low <= step * power * 1.001 <= self.high * 1.002]
            exponent += 1
        return found


def log_scale(low: float, high: float) -> LogScale:
    """Return the scale whose ends are the round numbers around a range of positive values."""
    power = 10.0 ** math.floor(math.log10(low))
    bottom = max(step * power for step in (1, 2, 5) if step * power <= low * 1.001)
    top = nice_top(high)
    return LogScale(bottom, top if top > bottom else bottom * 2)


class Canvas:
    """Braille cells that remember which line drew on them last: that line's colour is the cell's."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots = [[0] * width for _ in range(height)]
        self._owner = [[-1] * width for _ in range(height)]
        self._chars: dict[tuple[int, int], tuple[str, int]] = {}

    def dot(self, x: int, y: int, owner: int) -> None:
        """Set one dot, (0, 0) at the top left; one outside is left out."""
        if 0 <= x < self.width * DOTS_X and 0 <= y < self.height * DOTS_Y:
            self._dots[y // DOTS_Y][x // DOTS_X] |= _DOTS[y % DOTS_Y][x % DOTS_X]
            self._owner[y // DOTS_Y][x // DOTS_X] = owner

    def line(self, values: Sequence[float | None], share: Callable[[float], float], owner: int) -> int | None:
        """Draw one value per dot column, neighbours joined; return the row of the last one."""
        floor = DOTS_Y * self.height - 1
        last_y: int | None = None
        row: int | None = None
        for x, value in enumerate(values):
            if value is None:
                last_y = None
                continue
            y = floor - round(share(value) * floor)
            low, high = (y, y) if last_y is None else (min(y, last_y), max(y, last_y))
            for dot in range(low, high + 1):
                self.dot(x, dot, owner)
            last_y = y
            row = y // DOTS_Y
        return row

    def letters(self, values: Sequence[float | None], share: Callable[[float], float], owner: int, char: str) -> None:
        """Write a letter onto a line here and there, each owner at places of its own."""
        for x in range(2 + owner * _LETTER_STEP % _LETTER_EVERY, self.width, _LETTER_EVERY):
            value = values[x * DOTS_X] if x * DOTS_X < len(values) else None
            if value is not None:
                y = round((1 - share(value)) * (DOTS_Y * self.height - 1)) // DOTS_Y
                self._chars[x, y] = (char, owner)

    def rows(self) -> list[list[tuple[str, int]]]:
        """Return each row as stretches of text of one owner; -1 owns what is empty."""
        rows = []
        for y, (dots, owners) in enumerate(zip(self._dots, self._owner, strict=True)):
            row: list[tuple[str, int]] = []
            for x, (cell, line) in enumerate(zip(dots, owners, strict=True)):
                char, owner = self._chars.get((x, y), (chr(_BLANK + cell) if cell else " ", line))
                if row and row[-1][1] == owner:
                    row[-1] = (row[-1][0] + char, owner)
                else:
                    row.append((char, owner))
            rows.append(row)
        return rows


def named_rows(ends: Mapping[int, int], n_rows: int) -> dict[int, int]:
    """Return the line that is named in each row: as near to its end as there is room, the first ones choose first.

    Args:
        ends: The row in which each line ends, by its owner.
        n_rows: Of the canvas.
    """
    named: dict[int, int] = {}
    for owner, end in ends.items():
        free = [y for y in range(n_rows) if y not in named]
        if free:
            named[min(free, key=lambda y, end=end: abs(y - end))] = owner  # type: ignore[misc] # bound at once
    return named


def nice_top(value: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is not below `value`; 1 for nothing positive."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power >= value:
        power /= 10
    while power * 10 < value:
        power *= 10
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)
