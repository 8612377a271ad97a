"""What is known of something: sections of named facts, and texts between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

Facts = Sequence[tuple[str, str | Content]]
"""Names and texts; without a name, a text belongs to the fact above it."""
Part = Content | tuple[str, Facts]
"""A text, or a titled section."""

_GAP = 2
_LEAST_FOR_TWO = 130
_BETWEEN = 4
"""Cells between two columns, and the width from which on there are two."""
_LEAST_ROOM = 18
"""Cells for names, if they need them; longer ones take a second line."""


class FactSheet(Widget):
    """Names on the left, texts beside them: a text that takes several lines keeps to its column."""

    DEFAULT_CSS = "FactSheet { height: auto; }"

    def __init__(self, *, names: str = "$muted", one_line: bool = False) -> None:
        """Begin empty.

        Args:
            names: The style of the names.
            one_line: Whether a text that is too long ends in an ellipsis instead of going on below.
        """
        super().__init__()
        self._style_of_names = names
        self._one_line = one_line
        self._parts: tuple[Part, ...] = ()
        self._laid_out: tuple[int, Content] = (0, Content())

    def show(self, parts: Iterable[Part]) -> None:
        """Show something else; what has been made harmless for a terminal is expected."""
        self._parts = tuple(parts)
        self._laid_out = (0, Content())
        self.refresh(layout=True)

    def render(self) -> Content:
        """Return all lines for the present width."""
        return self._for_width(self.size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return how many lines there are at a width."""
        del container, viewport
        return self._for_width(width).plain.count("\n") + 1

    def _for_width(self, width: int) -> Content:
        if self._laid_out[0] != width:
            self._laid_out = width, self._in_columns(max(1, width))
        return self._laid_out[1]

    def _in_columns(self, width: int) -> Content:
        """Return all sections below each other, or where there is room in two columns of about the same height."""
        if width < _LEAST_FOR_TWO:
            return _below_each_other(self._blocks(width))
        half = (width - _BETWEEN) // 2
        blocks = list(self._blocks(half))
        splits = [
            (_below_each_other(blocks[:at]).split(), _below_each_other(blocks[at:]).split())
            for at in range(1, len(blocks) + 1)
        ]
        left, right = min(splits, key=lambda columns: max(map(len, columns)), default=([], []))
        lines = zip_longest(left, right, fillvalue=Content())
        return Content("\n").join(ours.pad_right(half + _BETWEEN - ours.cell_length) + theirs for ours, theirs in lines)

    def _blocks(self, width: int) -> Iterator[Content]:
        sections = [part for part in self._parts if not isinstance(part, Content)]
        longest = max((len(name) for _, facts in sections for name, _ in facts), default=0)
        room = min(longest, max(_LEAST_ROOM, width // 4), width // 3)
        for part in self._parts:
            if isinstance(part, Content):
                yield Content("\n").join(part.wrap(width))
                continue
            title, facts = part
            lines = (line for name, text in facts for line in self._beside(name, text, room, width))
            yield Content("\n").join([Content.styled(title, "bold $accent"), *lines])

    def _beside(self, name: str, text: str | Content, room: int, width: int) -> Iterator[Content]:
        left = Content.styled(name, self._style_of_names).wrap(max(1, room))
        content, beside = Content(text) if isinstance(text, str) else text, max(1, width - room - _GAP)
        right = [content.truncate(beside, ellipsis=True)] if self._one_line else content.wrap(beside)
        for label, value in zip_longest(left, right, fillvalue=Content()):
            yield label.pad_right(room + _GAP - label.cell_length) + value


def _below_each_other(blocks: Iterable[Content]) -> Content:
    return Content("\n\n").join(blocks)
