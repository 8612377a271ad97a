"""Scrollbars that a widget makes itself."""

from __future__ import annotations

from textual.scrollbar import ScrollBar
from textual.widget import Widget


def start_scrollbar(widget: Widget, scrollbar: ScrollBar) -> None:
    """Start a scrollbar of a widget, as Textual does for those that it makes."""
    widget.app._start_widget(widget, scrollbar)  # noqa: SLF001 - no public way
