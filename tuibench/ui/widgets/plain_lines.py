"""Widgets that are nothing but their lines, drawn at a fraction of what Textual takes for a line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import TRANSPARENT
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

Part = tuple[str, str]
"""Text, and its style as in `Content.assemble`."""
Row = tuple[Part, ...]


class PlainLines(Widget):
    """A widget whose lines go to the screen as they are, as long as it has no frame and no padding.

    Textual dresses every line of every widget in turn with frame, padding, outline, tint, hatch and opacity, none of
    which is there. With lines that change twice a second, on the cores that are measured, it was the largest part of
    what a dashboard costs.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the visible part of the lines."""
        if self.styles.gutter != (0, 0, 0, 0):
            return super().render_lines(crop)
        width, background = self.size.width, self.visual_style.background or TRANSPARENT
        blank = Style(background=background).rich_style
        filters = self.get_line_filters()
        strips = []
        for y in crop.line_range:
            strip = self.render_line(y).adjust_cell_length(width, blank)
            for line_filter in filters:
                strip = strip.apply_filter(line_filter, background)
            strips.append(strip)
        return strips if crop.column_span == (0, width) else [strip.crop(*crop.column_span) for strip in strips]


class PartRows(PlainLines):
    """Rows of coloured text; `redraw` draws those anew that are others than before."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id)
        self._rows: tuple[Row, ...] = ()
        self._rows_size = Size(0, 0)
        self._strips: dict[int, Strip] = {}
        self._rich_styles: dict[str, RichStyle] = {}

    def rows(self) -> Sequence[Row]:
        """Return what there is to see at the present size."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Look what is to be seen now."""
        before, size_before = self._rows, self._rows_size
        self._rows, self._rows_size = tuple(self.rows()), self.size
        if size_before != self.size or len(before) != len(self._rows):
            self._strips.clear()
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._rows, strict=True)) if old != new]
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self.refresh(Region(0, changed[0], self.size.width, changed[-1] - changed[0] + 1))

    def render(self) -> Content:
        """Return the rows as a text."""
        return Content("\n").join(Content.assemble(*row) for row in self.rows())

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        if self._rows_size != self.size:  # painted before it was told
            self._strips.clear()
            self._rows, self._rows_size = tuple(self.rows()), self.size
        if y not in self._strips:
            self._strips[y] = self._strip(self._rows[y] if y < len(self._rows) else ())
        return self._strips[y]

    def _strip(self, row: Row) -> Strip:
        strip = Strip([Segment(text, self._rich_style(style)) for text, style in row if text])
        return strip.crop(0, self.size.width) if strip.cell_length > self.size.width else strip

    def _rich_style(self, style: str) -> RichStyle:
        if style not in self._rich_styles:
            own = self.visual_style
            self._rich_styles[style] = (own + self._get_style(style)).rich_style
        return self._rich_styles[style]

    def notify_style_update(self) -> None:
        """Draw everything in the colours of a new theme."""
        super().notify_style_update()
        self._strips.clear()
        self._rich_styles.clear()
