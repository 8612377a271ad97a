"""The keys that do something now, and what they are called now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.keys import REPLACED_KEYS, key_to_character

if TYPE_CHECKING:
    from textual.binding import ActiveBinding
    from textual.screen import Screen

TEXTUALS = {
    "quit": ("Quit", "Leave tuibench"),
    "command_palette": ("Palette", "Everything by its name"),
    "app.focus_next": ("Next part", "The next list, text or field"),
    "app.focus_previous": ("Part before", "The list, text or field before"),
    "screen.copy_text": ("Copy", "What the mouse selected"),
    "copy": ("Copy", "What is selected, and leave it there"),
    "cut": ("Cut", "What is selected, to paste it elsewhere"),
    "paste": ("Paste", "What was cut or copied here"),
    "undo": ("Undo", "As it was before the last change"),
    "redo": ("Redo", "The change again"),
    "select_all": ("Select all", "The whole text"),
    "select_line": ("Select line", "The line of the cursor"),
    "delete_word_left": ("Delete word", "Back to where the word begins"),
    "delete_left_word": ("Delete word", "Back to where the word begins"),
    "delete_to_start_of_line": ("Delete back", "To the start of the line"),
    "delete_left_all": ("Delete back", "To the start of the line"),
    "delete_to_end_of_line_or_delete_line": ("Delete rest", "To the end of the line"),
    "delete_right_all": ("Delete rest", "To the end of the line"),
    "page_up": ("Page up", "A page up"),
    "page_down": ("Page down", "A page down"),
}
"""Of Textual's own keys those that nobody guesses, by what they do; how a cursor moves is left out."""


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
    binding, labels = active.binding, getattr(active.node, "key_labels", {})
    return str(labels.get(binding.id or "", TEXTUALS.get(binding.action, (binding.description, ""))[0]))


def told_of(active: ActiveBinding) -> tuple[str, str]:
    """Return what a key is called, and what it does."""
    return label_of(active), active.tooltip if active.binding.id else TEXTUALS[active.binding.action][1]
