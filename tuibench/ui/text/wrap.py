"""Word wrap of text that arrives in pieces: what is wrapped once is never looked at again."""

from __future__ import annotations

from rich.cells import get_character_cell_size

_TAB = "    "


class StreamWrap:
    """Lines of at most `width` cells. Any way of cutting the text into pieces gives the same lines.

    Words that were seen stay where they are: only the open last line changes as text is added, so a piece costs what
    it is long, however much is above it.
    """

    def __init__(self, width: int) -> None:
        self.width = max(1, width)
        self.lines: list[str] = []
        """Lines that will not change any more."""
        self.n_examined = 0
        """Characters looked at since the start: the cost of this wrap, for tests to count."""
        self.marked: tuple[int, int] | None = None
        """Line and column of the marked place; it moves with the word that it is in."""
        self._open = ""
        self._cells = 0
        self._break_at = 0

    @property
    def open_line(self) -> str:
        """The last line, which the next piece continues."""
        return self._open

    def mark(self) -> None:
        """Remember the place where the next text goes."""
        self.marked = (len(self.lines), len(self._open))

    def feed(self, text: str) -> None:
        """Append text."""
        for char in text.replace("\t", _TAB):
            self._put(char)

    def _put(self, char: str) -> None:
        self.n_examined += 1
        if char == "\n":
            self._close(len(self._open))
            return
        cells = get_character_cell_size(char)
        if self._cells + cells > self.width:
            if char == " ":
                # The space that does not fit is where the line breaks.
                self._close(len(self._open))
                return
            self._close(self._break_at or len(self._open))
            if self._cells + cells > self.width:
                self._close(len(self._open))
        self._open += char
        self._cells += cells
        if char == " ":
            self._break_at = len(self._open)

    def _close(self, end: int) -> None:
        rest = self._open[end:]
        if self.marked is not None and self.marked[0] == len(self.lines) and self.marked[1] >= end:
            self.marked = (len(self.lines) + 1, self.marked[1] - end)
        self.lines.append(self._open[:end].rstrip(" "))
        self._open = rest
        self._cells = sum(get_character_cell_size(char) for char in rest)
        self._break_at = 0
