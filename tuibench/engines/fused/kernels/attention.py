"""One token's queries against the cache, cut into chunks of positions so that all workers have the same to do.

Each unit is one KV head and one chunk, whole panels of 16 positions. Its keys and values are matrices, see `cache`, and
are multiplied by all query heads that share them as weights are by several tokens. For each query head that leaves
`m = max s`, `z = Σ e^(s−m)` and `o = Σ e^(s−m) · v`, from which the whole follows exactly ("flash-decoding"):
`out = Σ_chunks e^(m_c − M) · o_c  /  Σ_chunks e^(m_c − M) · z_c`.

Bytes a token and layer: `2 · n_kv_heads · length` times those of a key or value, see `cache`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import CHUNK, Inputs, Tokens
from tuibench.engines.fused.cache import Store
from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels.heads import NO_SINK
from tuibench.engines.fused.kernels.matrix import multiply, prepare_inputs
from tuibench.engines.fused.kernels.store import keys_of, scale_weights, values_of
from tuibench.engines.fused.kernels.vector import Vector, cap, exponential, largest_of
from tuibench.engines.fused.matrices import LANES


@kernel
def chunks_of(first: int, end: int, n_workers: int) -> tuple[int, int]:
    """Return the panels that positions `first ≤ p < end` touch, and in how many chunks these are taken.

    Chunks are a multiple of the workers, so that none waits for another.
    """
    most = CHUNK // LANES * n_workers
    n_panels = (end + LANES - 1) // LANES - first // LANES
    return n_panels, n_workers * ((n_panels + most - 1) // most)


@kernel
def _softmax(scores: Vector, skipped: int, scale: np.float32, softcap: np.float32) -> tuple[np.float32, np.float32]:
    """Turn scores into `e^(s · scale − max)`, the first few into 0; return the maximum and the sum."""
    scores[:skipped] = np.float32(0)
    seen = scores[skipped:]
    if softcap > 0:
        cap(seen, scale, softcap)
        scale = np.float32(1)
    largest, total = largest_of(seen) * scale, np.float32(0)
    for p in range(seen.size):
        seen[p] = exponential(seen[p] * scale - largest)
        total += seen[p]
    return largest, total


@kernel
def attend_chunk(
    store: Store,
    index: int,
    positions: tuple[int, int],
    queries: Inputs,
    n_queries: int,
    scale: np.float32,
    softcap: np.float32,
    weights: Inputs,
    head_dim: int,
    out: Tokens,
) -> None:
    """Leave `o[head_dim], …, m, z` of query heads that share one KV head, in the rows of `out`.

    Args:
        store: The cache.
        index: Of the layer and KV head.
        positions: The first, and the one after the last; both in the same chunk.
        queries: A row a head, prepared for keys.
        n_queries: How many.
        scale: Of the scores, above 0.
        softcap: What they then stay below; 0 where they may be of any size.
        weights: Memory for scores, a row a head.
        head_dim: Width of the heads.
        out: `[heads, whole panels of the widest heads, then m and z at the end]`
    """
    panel, n_panels = positions[0] // LANES, (positions[1] + LANES - 1) // LANES - positions[0] // LANES
    n_positions = positions[1] - panel * LANES
    multiply(keys_of(store, panel, panel + n_panels), index, 0, n_panels, queries, n_queries, weights.values)
    values = values_of(store, panel, n_positions)
    for head in range(n_queries):
        scores = weights.values[head][:n_positions]
        largest, total = _softmax(scores, positions[0] - panel * LANES, scale, softcap)
        scale_weights(store, index, panel, scores)
        prepare_inputs(values, weights, head, n_positions)
        out[head, out.shape[1] - 2], out[head, out.shape[1] - 1] = largest, total
    multiply(values, index, 0, (head_dim + LANES - 1) // LANES, weights, n_queries, out)


@kernel
def combine_chunks(parts: NDArray[np.float32], sink: np.float32, out: Vector) -> None:
    """Put one head together from the rows, one a chunk, that `attend_chunk` left; empty chunks have `z = 0`.

    A sink is a score that takes its share and adds nothing; see `sink_of`.
    """
    head_dim, z = out.size, parts.shape[1] - 1
    largest = sink
    for c in range(parts.shape[0]):
        if parts[c, z] > 0:
            largest = max(largest, parts[c, z - 1])
    total = np.float32(0)
    if sink > NO_SINK:
        total = exponential(sink - largest)
    for i in range(head_dim):
        out[i] = np.float32(0)
    for c in range(parts.shape[0]):
        part = parts[c]
        if part[z] > 0:
            weight = exponential(part[z - 1] - largest)
            total += weight * part[z]
            for i in range(head_dim):
                out[i] += weight * part[i]
    inverse = np.float32(1) / total
    for i in range(head_dim):
        out[i] *= inverse
