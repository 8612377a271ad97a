"""Keys and values of all positions so far, stored as the weights are: attention is two products with matrices.

`score[p] = Σᵢ key[p, i] · query[i]` has a row for each position, `out[i] = Σₚ value[p, i] · weight[p]` one for each
element of a head. So both lie in panels of 16 rows, see `matrices`, one matrix for each layer and KV head.

| methods | a key or value of one head | bytes |
|---|---|---|
| `fused-fp32` | as it is | 4 · head_dim |
| `fused-int8`, `fused-int4` | `q · scale`, one scale for each position | head_dim + 4 |

What a convolution reads again (LFM2) is kept as it is, a row a position: a text can go on from any of its tokens.

A key is rounded once, when it is stored; whoever reads it, decoding, several tokens at once or the prompt's own
attention, reads the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.matrices import (
    FP32_BYTES,
    INT8_STEP,
    LANES,
    Absent,
    Fp32Matrix,
    Int8Matrix,
    Matrix,
    allocate,
    n_panels,
    padded,
)


class Fp32Store(NamedTuple):
    """Exact. Both matrices have one stack entry for each layer and KV head."""

    keys: Fp32Matrix
    """A row a position, an input an element of the head."""
    values: Fp32Matrix
    """A row an element of the head, an input a position."""


class Int8Store(NamedTuple):
    """Rounded to 255 multiples of a scale of their own, position by position."""

    keys: Int8Matrix
    values: Int8Matrix
    """Its rows have scales of 1: that of a position is multiplied into the position's weight."""
    value_scales: NDArray[np.float32]
    """`[layers · n_kv_heads, positions]`"""


Store = Fp32Store | Int8Store


class Cache(NamedTuple):
    """Keys (rotated) and values, and the angles."""

    store: Store
    wide_store: Store | Absent
    """Of the layers with wider heads, see `layers`."""
    cosine: NDArray[np.float32]
    """`[tables, capacity, head_dim / 2]`, of the widest heads; no columns where positions are learned."""
    sine: NDArray[np.float32]
    convolved: NDArray[np.float32] | Absent
    """`[sequences · layers with a convolution, width − 1 + capacity, hidden]`: a row a position, b · x of
    `ShortConvolution`; before those, what precedes every text: zeros."""


def new_store(weights: Matrix, n_matrices: int, capacity: int, head_dim: int) -> Store:
    """Return an empty store for `capacity` positions of `n_matrices` KV heads, exact if the weights are."""
    rows = {"keys": (capacity, head_dim), "values": (head_dim, padded(capacity, LANES))}
    if isinstance(weights, Fp32Matrix):
        return Fp32Store(**{name: _fp32_matrix(n_matrices, *size) for name, size in rows.items()})
    values = _int8_matrix(n_matrices, *rows["values"])
    values.scales[:] = 1
    scales = np.zeros((n_matrices, padded(capacity, LANES)), np.float32)
    return Int8Store(_int8_matrix(n_matrices, *rows["keys"]), values, scales)


def _fp32_matrix(n_matrices: int, n_rows: int, n_inputs: int) -> Fp32Matrix:
    size = (n_matrices, n_panels(n_rows), n_inputs, FP32_BYTES * LANES)
    return Fp32Matrix(allocate(size, np.uint8), np.full(n_matrices, FP32_BYTES, np.int64))


def _int8_matrix(n_matrices: int, n_rows: int, n_inputs: int) -> Int8Matrix:
    size = (n_matrices, n_panels(n_rows), padded(n_inputs, INT8_STEP) // INT8_STEP, INT8_STEP * LANES)
    return Int8Matrix(allocate(size, np.int8), np.zeros((n_matrices, n_panels(n_rows), LANES), np.float32))


def capacity_of(store: Store) -> int:
    """Return how many positions there is room for."""
    first = store.keys[0]
    return int(first.shape[1]) * LANES
