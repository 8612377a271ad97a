"""Widgets that were removed are given back, with what they had drawn.

Textual keeps two colours of a widget in a cache that holds the last 1,024 widgets' drawings by their owners
(`StylesCache.get_inner_outer` is an `lru_cache` on a method): every notice that was ever shown stays, 20 kB each.
"""

from __future__ import annotations

from functools import lru_cache

from textual._styles_cache import StylesCache
from textual.color import Color
from textual.style import Style


@lru_cache(1024)
def _inner_outer(base_background: Color, background: Color) -> tuple[Style, Style]:
    return Style(background=base_background + background), Style(background=base_background)


def release_removed_widgets() -> None:
    """Key that cache by the colours alone, which are all it depends on."""
    # Textual has no public place for this; its version is pinned, and a test removes widgets.
    StylesCache.get_inner_outer = staticmethod(_inner_outer)  # type: ignore[method-assign, assignment] # as it is called
