"""Widgets that were removed are given back, with what they had drawn.

Textual keeps two colours of a widget in a cache that holds the last 1,024 widgets' drawings by their owners
(`StylesCache.get_inner_outer` is an `lru_cache` on a method): every notice that was ever shown stays, 20 kB each. And
a notice that has run out when the next one comes is taken away without the box around it, which then nobody removes.
"""

from __future__ import annotations

from functools import lru_cache

from textual._styles_cache import StylesCache
from textual.color import Color
from textual.notifications import Notifications
from textual.style import Style
from textual.widgets._toast import ToastHolder, ToastRack


@lru_cache(1024)
def _inner_outer(base_background: Color, background: Color) -> tuple[Style, Style]:
    return Style(background=base_background + background), Style(background=base_background)


_show = ToastRack.show


def _show_without_run_out(self: ToastRack, notifications: Notifications) -> None:
    current = {self._toast_id(notification) for notification in notifications}
    for holder in self.query(ToastHolder):
        if holder.id not in current:
            holder.remove()
    _show(self, notifications)


def release_removed_widgets() -> None:
    """Key that cache by the colours alone, which are all it depends on; remove notices with their boxes."""
    # Textual has no public place for this; its version is pinned, and tests remove widgets and notices.
    StylesCache.get_inner_outer = staticmethod(_inner_outer)  # type: ignore[method-assign, assignment] # as it is called
    ToastRack.show = _show_without_run_out  # type: ignore[method-assign] # as above
