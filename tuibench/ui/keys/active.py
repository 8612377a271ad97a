"""The keys that do something now, and what they are called now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from textual.keys import REPLACED_KEYS, key_to_character

if TYPE_CHECKING:
    from textual.binding import ActiveBinding
    from textual.screen import Screen


def letter_of(key: str) -> str | None:
    """Return what a key writes into a text box; None for keys that write nothing.

    Textual's own function does not know the keys that it has given another name than Unicode: `/`, `-`, `+`.
    """
    return key_to_character(REPLACED_KEYS.get(key, key))


def active_keys(screen: Screen[object]) -> Iterator[ActiveBinding]:
    """Yield what keys do now; those that a text box with the focus takes as letters are left out."""
    focused = screen.focused
    for active in screen.active_bindings.values():
        key = active.binding.key
        typed = focused is not None and active.node is not focused and focused.check_consume_key(key, letter_of(key))
        if not typed or active.binding.priority:
            yield active


def rare_keys(screen: Screen[object]) -> frozenset[str]:
    """Return the keys, by their ids, of which the screen says that they would do nothing now."""
    rare: frozenset[str] = getattr(screen, "rare_keys", frozenset())
    return rare


def label_of(active: ActiveBinding) -> str:
    """Return what a key is called now: whose key it is may have a name for it that says more than the table's."""
    labels: Mapping[str, str] = getattr(active.node, "key_labels", {})
    return labels.get(active.binding.id or "", active.binding.description)
