"""Generated text as it comes: wrapped once, drawn only where it is visible, its end in view.

What a method says otherwise than the reference stands out from the first token on that differs.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip
from textual.visual import Visual

from tuibench.core.format import printable
from tuibench.ui.terminal.scrollbars import start_scrollbar
from tuibench.ui.text.describe import Stream
from tuibench.ui.text.wrap import StreamWrap
from tuibench.ui.widgets.plain_lines import PlainLines
from tuibench.ui.widgets.thumb import Thumb

_MOST_DRAWN = 512
"""Lines kept as they were drawn, more than any terminal shows."""


class StreamText(PlainLines, ScrollView, can_focus=True):
    """Shows a stream of tokens, or a note while there is none. An update costs what is new in it, not what is there."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"stream-text--different"}
    # The scrollbar is there from the start, unseen: one that appears would have the screen laid out anew, twice.
    DEFAULT_CSS = """
    StreamText { overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1; }
    """

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._stream: Stream | None = None
        self._differs_at: int | None = None
        self._n_shown = 0
        self._tail_shown = False
        self._wrap = StreamWrap(1)
        self._strips: dict[int, Strip] = {}
        """Closed lines as they were drawn, by their number: as the text scrolls, most of it is what was there."""
        self._colours: tuple[Style, Style] | None = None
        self.note: Content | None = None
        """Shown in the place of the stream."""
        self._note_strips: list[Strip] | None = None

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        """The scrollbar, created if necessary."""
        if self._vertical_scrollbar is None:
            self._vertical_scrollbar = Thumb(vertical=True, name="vertical", thickness=self.scrollbar_size_vertical)
            self._vertical_scrollbar.display = False
            start_scrollbar(self, self._vertical_scrollbar)
        return self._vertical_scrollbar

    @property
    def n_examined(self) -> int:
        """Characters wrapped so far: the cost of all updates."""
        return self._wrap.n_examined

    @property
    def shown_lines(self) -> list[str]:
        """All lines, visible or not."""
        return [*self._wrap.lines, self._wrap.open_line]

    @property
    def different_text(self) -> str:
        """What is shown from the first difference on."""
        if self._wrap.marked is None:
            return ""
        y, x = self._wrap.marked
        return "\n".join([self.shown_lines[y][x:], *self.shown_lines[y + 1 :]])

    def show(self, stream: Stream | None, *, differs_at: int | None = None) -> None:
        """Show a stream, or the next part of the one that is shown.

        Args:
            stream: The text; None for nothing.
            differs_at: Index of the first token that is another than the reference's; None as long as there is none.
        """
        before, self._stream = self._stream, stream
        earlier, self._differs_at = self._differs_at, differs_at
        recoloured_from = sys.maxsize if earlier == differs_at else min(_or_end(earlier), _or_end(differs_at))
        known = before is not None and stream is not None and before.key == stream.key and stream.n >= self._n_shown
        if not known or recoloured_from < self._n_shown:
            self._start_over()
        self._append_new()

    def show_note(self, note: Content | None) -> None:
        """Show a note in the place of the stream, or the stream again."""
        if note is None and self.note is None:
            return
        if note is None or self.note is None or not note.is_same(self.note):
            self.note, self._note_strips = note, None
            self.refresh()

    def allow_focus(self) -> bool:
        """Take the focus only where there is something to scroll through."""
        return self.note is None and super().allow_focus()

    def show_first_difference(self) -> None:
        """Scroll to the first token that differs; nothing happens where none does."""
        if self._wrap.marked is not None:
            self.scroll_to(y=max(0, self._wrap.marked[0] - 1), animate=False)

    def on_resize(self) -> None:
        """Wrap everything again, which only a new width asks for."""
        self._note_strips = None
        if self.scrollable_content_region.width != self._wrap.width:
            self._start_over()
            self._append_new()

    def notify_style_update(self) -> None:
        """Draw everything in the colours of a new theme."""
        super().notify_style_update()
        self._forget_drawn()

    def _forget_drawn(self) -> None:
        self._strips.clear()
        self._colours = None
        self._note_strips = None

    def _start_over(self) -> None:
        self._forget_drawn()
        self._wrap = StreamWrap(self.scrollable_content_region.width)
        self._n_shown = 0
        self._tail_shown = False
        self.refresh()

    def _append_new(self) -> None:
        stream = self._stream
        if stream is None:
            self._grow_to(0)
            return
        start, at = self._n_shown, self._differs_at
        same = "".join(stream.pieces[start : min(stream.n, _or_end(at))])
        text = "".join(stream.pieces[max(start, min(stream.n, _or_end(at))) : stream.n])
        self._n_shown = stream.n
        if stream.tail and not self._tail_shown:
            text += stream.tail
            self._tail_shown = True
        if not same and not text:
            return
        follow = self.is_vertical_scroll_end
        first_changed = len(self._wrap.lines)
        self._wrap.feed(printable(same))
        if text and at is not None and self._wrap.marked is None:
            self._wrap.mark()
            self._strips.clear()
        self._wrap.feed(printable(text))
        self._grow_to(len(self._wrap.lines) + 1)
        if follow:
            self.scroll_end(animate=False, immediate=True, x_axis=False, force=True)
        self.refresh_lines(first_changed, len(self._wrap.lines) - first_changed + 1)

    def _grow_to(self, height: int) -> None:
        """Tell how many lines there are.

        Assigning `virtual_size` lays out and repaints the whole screen (25 to 40 ms), with every snapshot and on the
        cores that are measured. Nothing asks for it: the scrollbar never comes or goes.
        """
        self.set_reactive(StreamText.virtual_size, Size(1, height))
        self.vertical_scrollbar.window_virtual_size = height
        self.scroll_y = self.validate_scroll_y(self.scroll_y)

    def render_line(self, y: int) -> Strip:
        """Draw one visible line."""
        if self.note is not None:
            return self._note_line(self.note, y)
        index = y + self.scroll_offset.y
        drawn = self._strips.get(index)
        if drawn is None:
            drawn = self._strip(index)
            if index < len(self._wrap.lines):
                if len(self._strips) > _MOST_DRAWN:
                    self._strips.clear()
                self._strips[index] = drawn
        return drawn

    def _note_line(self, note: Content, y: int) -> Strip:
        style, width = self.visual_style, self.scrollable_content_region.width
        if self._note_strips is None:
            self._note_strips = Visual.to_strips(self, note, width, None, style, apply_selection=False)
        strip = self._note_strips[y] if y < len(self._note_strips) else Strip([])
        return strip.adjust_cell_length(self.size.width, style.rich_style)

    def _strip(self, index: int) -> Strip:
        lines = self._wrap.lines
        text = lines[index] if index < len(lines) else self._wrap.open_line if index == len(lines) else ""
        if self._colours is None:  # each is worth a walk through all ancestors
            self._colours = self.rich_style, self.get_component_rich_style("stream-text--different")
        style, style_of_different = self._colours
        same, different = text, ""
        if self._wrap.marked is not None:
            marked_y, marked_x = self._wrap.marked
            cut = marked_x if index == marked_y else 0 if index > marked_y else len(text)
            same, different = text[:cut], text[cut:]
        segments = [Segment(same, style)]
        if different and self._wrap.marked is not None and index == self._wrap.marked[0]:
            # Where it begins to differ is underlined: all of it would be hard to read.
            n_first = len(different) - len(different.lstrip()) + len((different.split() or [""])[0])
            segments.append(Segment(different[:n_first], style_of_different + _UNDERLINED))
            different = different[n_first:]
        if different:
            segments.append(Segment(different, style_of_different))
        return Strip(segments).adjust_cell_length(self.size.width, style)


_UNDERLINED = Style(underline=True)


def _or_end(index: int | None) -> int:
    return sys.maxsize if index is None else index
