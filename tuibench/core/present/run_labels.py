"""What runs are called beside each other: a session's name is told once, not for each of its parts."""

from __future__ import annotations

from collections.abc import Sequence

_PART = " · "


def split_labels(labels: Sequence[str]) -> tuple[str, list[str]]:
    """Return what all labels begin with, empty where that is nothing, and the rest of each."""
    shared = labels[0].rpartition(_PART)[0] if len(labels) > 1 else ""
    start = f"{shared}{_PART}"
    if not shared or not all(label.startswith(start) for label in labels):
        return "", list(labels)
    return shared, [label.removeprefix(start) for label in labels]
