"""What runs are called beside each other: a session's name is told once, not for each of its parts."""

from __future__ import annotations

from collections.abc import Sequence

from tuibench.core.results.measured_run import LABEL_PARTS


def split_labels(labels: Sequence[str]) -> tuple[str, list[str]]:
    """Return the parts that all labels begin with, empty where that is nothing, and the rest of each."""
    parts = [label.split(LABEL_PARTS) for label in labels]
    most = min(map(len, parts)) - 1 if len(labels) > 1 else 0
    n_shared = next((at for at in range(most) if len({part[at] for part in parts}) > 1), most)
    return LABEL_PARTS.join(parts[0][:n_shared]), [LABEL_PARTS.join(part[n_shared:]) for part in parts]
