"""A line drawn with braille cells: numbers in, rows of characters out. Knows nothing of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

DOTS_X = 2
DOTS_Y = 4
_BLANK = 0x2800
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


def braille_rows(columns: Sequence[float | None], height: int, top: float) -> list[str]:
    """Draw one value per dot column as `height` rows of braille cells, neighbours joined; None leaves a gap."""
    width = (len(columns) + 1) // DOTS_X
    cells = [[0] * width for _ in range(height)]
    floor = DOTS_Y * height - 1
    last_y: int | None = None
    for x, value in enumerate(columns):
        if value is None:
            last_y = None
            continue
        y = floor - round(min(max(value, 0.0), top) / top * floor)
        low, high = (y, y) if last_y is None else (min(y, last_y), max(y, last_y))
        for dot in range(low, high + 1):
            cells[dot // DOTS_Y][x // DOTS_X] |= _DOTS[dot % DOTS_Y][x % DOTS_X]
        last_y = y
    return ["".join(chr(_BLANK + cell) if cell else " " for cell in row) for row in cells]


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
