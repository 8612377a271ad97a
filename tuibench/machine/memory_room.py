"""Whether the workers of several methods fit into memory together."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from tuibench.core import format as fmt
from tuibench.machine.cgroup import free_bytes, own_groups

_SHARE = 0.9
"""Of what is free: the machine lives on the rest."""
_UNKNOWN_WEIGHTS, _PREPARING_WEIGHTS = 1.5, 3.0
"""What a worker of which nothing is known takes, and what making its files takes, in times the FP32 weights."""
_LIBRARIES_BYTES = 512 << 20


def too_little_memory(peaks_bytes: Sequence[int | None], parameters: int) -> str | None:
    """Return why workers are not to be at hand together; None where they fit.

    Args:
        peaks_bytes: What each took before, or will; None for one of which nothing is known, which may have files to
            make.
        parameters: Of the model.
    """
    weights_bytes = 4 * parameters
    unknown_bytes = round(_UNKNOWN_WEIGHTS * weights_bytes) + _LIBRARIES_BYTES
    needed_bytes = sum(unknown_bytes if peak is None else peak for peak in peaks_bytes)
    needed_bytes += round(_PREPARING_WEIGHTS * weights_bytes) if None in peaks_bytes else 0
    free = free_memory_bytes()
    if needed_bytes <= _SHARE * free:
        return None
    return (
        f"the workers of {len(peaks_bytes)} methods may need {fmt.size(needed_bytes)} and {fmt.size(free)} are free:"
        " they run one after the other, which tells small differences less well than side by side"
    )


def free_memory_bytes() -> int:
    """Return what a process of this control group can still have."""
    return min(psutil.virtual_memory().available, free_bytes(own_groups("memory")) or 1 << 62)
