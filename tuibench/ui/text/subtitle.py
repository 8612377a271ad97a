"""The text in a widget's lower border."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


def write_subtitle(widget: Widget, text: str) -> None:
    """Set it where it is not set already: Textual paints the whole widget for it, be it the same text again."""
    if (widget.border_subtitle or "") != Content.from_markup(text).markup:
        widget.border_subtitle = text
