"""Queries and keys, from what their product gave to what attention reads: normalised and rotated; and sinks."""

from __future__ import annotations

import numpy as np

from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels.vector import Vector, norm, rms_norm, rotate

NO_SINK = np.float32(-np.inf)


@kernel
def sink_of(sinks: Vector, head: int) -> np.float32:
    """Return the score of a head's attention sink (GPT-OSS), of which no share comes where a layer has none."""
    return sinks[head] if sinks.size else NO_SINK


@kernel
def finish_head(
    head: Vector,
    norms: Vector,
    norm_last: bool,
    epsilon: float,
    cosine: Vector,
    sine: Vector,
    space: Vector,
    out: Vector,
) -> None:
    """Normalise (Qwen3) and rotate a head, or the other way round (Hunyuan); norms of another size are not its own."""
    if norms.size != head.size:
        rotate(head, cosine, sine, out)
    elif norm_last:
        rotate(head, cosine, sine, space)
        norm(space, norms, norms[:0], epsilon, out)
    else:
        norm(head, norms, norms[:0], epsilon, space)
        rotate(space, cosine, sine, out)


@kernel
def normalise_together(heads: Vector, norms: Vector, head_dim: int, epsilon: float) -> None:
    """Normalise several heads as one vector (OLMo 2), in place; norms of one head are left to `finish_head`."""
    if norms.size > head_dim:
        rms_norm(heads, norms, epsilon, heads)
