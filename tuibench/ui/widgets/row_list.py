"""Rows of text under a fixed heading, one of them pointed at. Only rows that change are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import constants
from textual.content import Content
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from tuibench.ui.keys.keymap import bindings


class RowList(ScrollView, can_focus=True):
    """A table whose owner writes whole rows. Moving in it is the same in every list."""

    BINDINGS = bindings("rows")
    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-list--heading", "row-list--cursor"}
    DEFAULT_CSS = """
    RowList { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }
    """

    @dataclass
    class Pointed(Message):
        """The user moved to another row."""

        rows: RowList
        key: str

        @property
        def control(self) -> RowList:
            """The list it is about."""
            return self.rows

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as Textual calls it
        super().__init__(id=id)
        self.keys: tuple[str, ...] = ()
        """One for each row."""
        self.at = 0
        """The row pointed at."""
        self._heading = Content()
        self._rows: Sequence[Content] = ()
        self._strips: dict[int, Strip] = {}

    @property
    def pointed(self) -> str | None:
        """The key of the row pointed at."""
        return self.keys[self.at] if self.at < len(self.keys) else None

    def write(self, heading: Content, keys: Sequence[str], rows: Sequence[Content]) -> None:
        """Show these rows; the row pointed at stays the one with its key."""
        before, at_before, pointed = self._rows, self.at, self.pointed
        self.keys, self._rows = tuple(keys), tuple(rows)
        self.at = self.keys.index(pointed) if pointed in self.keys else min(self.at, max(0, len(keys) - 1))
        if not heading.is_same(self._heading):
            self._heading = heading
            self._redraw(-1)
        if len(rows) != len(before):
            self.virtual_size = Size(1, len(rows) + 1)
            self._strips.clear()
            self.refresh(layout=True)
            return
        for y, (old, new) in enumerate(zip(before, rows, strict=True)):
            if not (new is old or new.is_same(old)) or (self.at != at_before and y in (self.at, at_before)):
                self._redraw(y)

    def write_lazily(self, heading: Content, keys: Sequence[str], rows: Sequence[Content]) -> None:
        """Do as `write` does, but draw everything anew: none of the rows is looked at that is not in view."""
        pointed = self.pointed
        self._heading, self.keys, self._rows = heading, tuple(keys), rows
        self.at = self.keys.index(pointed) if pointed in self.keys else 0
        self._strips.clear()
        if self.virtual_size.height != len(rows) + 1:
            self.virtual_size = Size(1, len(rows) + 1)
        self._bring_into_view()
        self.refresh()

    def point(self, key: str) -> None:
        """Move to a row without telling anybody."""
        if key in self.keys:
            self._move_to(self.keys.index(key), tell=False)

    @property
    def plain_rows(self) -> list[str]:
        """What the rows say."""
        return [row.plain for row in self._rows]

    # Drawing --------------------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Draw everything for the new size; the row pointed at stays in view."""
        self._strips.clear()
        self._bring_into_view()

    def notify_style_update(self) -> None:
        """Draw everything in the colours of a new theme."""
        super().notify_style_update()
        self._strips.clear()

    def on_focus(self) -> None:
        """Show where the keys go."""
        self._redraw(self.at)

    def on_blur(self) -> None:
        """Show that the keys go elsewhere."""
        self._redraw(self.at)

    def render_line(self, y: int) -> Strip:
        """Draw one visible line: the heading stays while the rows scroll."""
        row = -1 if y == 0 else y - 1 + self.scroll_offset.y
        if row >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        if row not in self._strips:
            self._strips[row] = self._strip(row)
        return self._strips[row]

    def _strip(self, row: int) -> Strip:
        classes = ("row-list--heading",) if row < 0 else ("row-list--cursor",) if row == self.at else ()
        style = self.get_visual_style(*classes)
        content = self._heading if row < 0 else self._rows[row]
        if row == self.at and self.has_focus and constants.COLOR_SYSTEM == "standard":
            # Of sixteen colours none is a ground on which the others are read.
            content, style = content.without_spans, style + Style(reverse=True)
        strips = Visual.to_strips(self, content, self.size.width, 1, style, apply_selection=False)
        return (strips[0] if strips else Strip([])).adjust_cell_length(self.size.width, style.rich_style)

    def _redraw(self, row: int) -> None:
        self._strips.pop(row, None)
        y = 0 if row < 0 else row + 1 - self.scroll_offset.y
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    # Moving ---------------------------------------------------------------------------------------------------------

    def _move_to(self, row: int, *, tell: bool = True) -> None:
        before, self.at = self.at, min(max(0, row), max(0, len(self._rows) - 1))
        if self.at == before:
            return
        self._redraw(before)
        self._redraw(self.at)
        self._bring_into_view()
        if tell and self.pointed is not None:
            self.post_message(self.Pointed(self, self.pointed))

    def _bring_into_view(self) -> None:
        n_visible = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        if not top <= self.at < top + n_visible:
            self.scroll_to(y=self.at if self.at < top else self.at - n_visible + 1, animate=False, immediate=True)

    def action_cursor_down(self) -> None:
        """Go to the next row."""
        self._move_to(self.at + 1)

    def action_cursor_up(self) -> None:
        """Go to the row before."""
        self._move_to(self.at - 1)

    def action_first(self) -> None:
        """Go to the first row."""
        self._move_to(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self._move_to(len(self._rows) - 1)

    def action_page_down(self) -> None:
        """Go one page down."""
        self._move_to(self.at + max(1, self.size.height - 2))

    def action_page_up(self) -> None:
        """Go one page up."""
        self._move_to(self.at - max(1, self.size.height - 2))

    def on_click(self, event: Click) -> None:
        """Go to the row that was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y > 0:
            self._move_to(offset.y - 1 + self.scroll_offset.y)
