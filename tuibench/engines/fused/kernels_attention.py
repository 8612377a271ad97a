"""One token's query against the cache, cut into chunks of positions so that all workers have the same to do.

Each unit is one KV head and one chunk; its keys and values are read once for all query heads that share them. It leaves
for each query head `m = max s`, `z = Σ e^(s−m)` and `o = Σ e^(s−m) · v`, from which the whole follows exactly
("flash-decoding"): `out = Σ_chunks e^(m_c − M) · o_c  /  Σ_chunks e^(m_c − M) · z_c`.

Bytes a token: `2 · 4 · n_kv_heads · head_dim · length` a layer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels_vector import Vector, exponential

CHUNK = 256
"""Most positions of one chunk: its scores stay in the first-level cache."""


@kernel
def chunks_of(length: int, n_workers: int) -> int:
    """Return how many chunks there are: a multiple of the workers, so that none waits for another."""
    return n_workers * ((length + CHUNK * n_workers - 1) // (CHUNK * n_workers))


@kernel
def _add_products(weights: Vector, n: int, matrix: NDArray[np.float32], first: int, out: Vector) -> None:
    """`out += Σᵢ weights[i] · matrix[first + i]`, four rows at a time: `out` is read and written a quarter as often."""
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        p, q, r, s = matrix[first + i], matrix[first + i + 1], matrix[first + i + 2], matrix[first + i + 3]
        for j in range(out.size):
            out[j] += a * p[j] + b * q[j] + c * r[j] + d * s[j]
    for i in range(whole, n):
        weight, row = weights[i], matrix[first + i]
        for j in range(out.size):
            out[j] += weight * row[j]


@kernel
def attend_chunk(
    query: Vector, keys: NDArray[np.float32], values: NDArray[np.float32], scale: float, scores: Vector, out: Vector
) -> None:
    """Leave `o[head_dim], m, z` of one query head over `keys` and `values`, `[positions, head_dim]`."""
    head_dim, n_positions = query.size, keys.shape[0]
    largest = np.float32(-np.inf)
    for t in range(n_positions):
        key = keys[t]
        score = np.float32(0)
        for i in range(head_dim):
            score += query[i] * key[i]
        score *= np.float32(scale)
        scores[t] = score
        largest = max(largest, score)
    total = np.float32(0)
    for t in range(n_positions):
        scores[t] = exponential(scores[t] - largest)
        total += scores[t]
    for i in range(head_dim):
        out[i] = np.float32(0)
    _add_products(scores, n_positions, values, 0, out[:head_dim])
    out[head_dim] = largest
    out[head_dim + 1] = total


@kernel
def combine_chunks(parts: NDArray[np.float32], out: Vector) -> None:
    """Put one head together from the `[chunks, head_dim + 2]` that `attend_chunk` left; empty chunks have `z = 0`."""
    head_dim = out.size
    largest = np.float32(-np.inf)
    for c in range(parts.shape[0]):
        if parts[c, head_dim + 1] > 0:
            largest = max(largest, parts[c, head_dim])
    total = np.float32(0)
    for i in range(head_dim):
        out[i] = np.float32(0)
    for c in range(parts.shape[0]):
        part = parts[c]
        if part[head_dim + 1] > 0:
            weight = exponential(part[head_dim] - largest)
            total += weight * part[head_dim + 1]
            for i in range(head_dim):
                out[i] += weight * part[i]
    inverse = np.float32(1) / total
    for i in range(head_dim):
        out[i] *= inverse
