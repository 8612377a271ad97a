"""Whether a model's weights fit into memory, asked before anything is built: a kill later would say nothing."""

from __future__ import annotations

import psutil

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Decoder
from tuibench.machine.cgroup import free_bytes, own_groups

_WEIGHT_BYTES = {"fp32": 4.0, "int8": 1.0, "int4": 0.5}


def check_fits(decoder: Decoder, checkpoint: Checkpoint, precision: str) -> None:
    """Refuse a model whose weights alone need more memory than is free.

    Of experts a token reads a few, but all of them have to be there.

    Raises:
        UnsupportedModelError: They do.
    """
    needed = checkpoint.parameters * _WEIGHT_BYTES[precision]
    free = _free_bytes()
    if needed <= free:
        return
    experts = decoder.experts
    whose = f"all {experts.n_experts} experts of each layer included, " if experts else ""
    raise UnsupportedModelError(
        f"the weights of this model take {needed / 1e9:.1f} GB in {precision.upper()}, {whose}"
        f"and {free / 1e9:.1f} GB of memory are free; a method with fewer bits or a smaller model may fit"
    )


def _free_bytes() -> int:
    """Return how much memory this process can still get."""
    limited = free_bytes(own_groups("memory"))
    available = int(psutil.virtual_memory().available)
    return available if limited is None else min(limited, available)
