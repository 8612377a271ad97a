"""The text in a widget's lower border."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


def write_subtitle(widget: Widget, text: str | Content) -> None:
    """Set it where it is not set already: Textual paints the whole widget for it, be it the same text again."""
    content = Content.from_markup(text) if isinstance(text, str) else text
    if (widget.border_subtitle or "") != content.markup:
        widget.border_subtitle = text
