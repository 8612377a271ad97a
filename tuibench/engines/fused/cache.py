"""Keys and values of all positions so far, stored as the weights are: attention is two products with matrices.

`score[p] = Σᵢ key[p, i] · query[i]` has a row for each position, `out[i] = Σₚ value[p, i] · weight[p]` one for each
element of a head. So both lie in panels of 16 rows, see `matrices`, one matrix for each layer and KV head.

| methods | a key or value of one head | bytes |
|---|---|---|
| `fused-fp32` | as it is | 4 · head_dim |
| `fused-int8`, `fused-int4` | `q · scale`, one scale for each position | head_dim + 4 |

A key is rounded once, when it is stored; whoever reads it, decoding, several tokens at once or the prompt's own
attention, reads the same numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.kernels.matrix import holds
from tuibench.engines.fused.kernels.vector import Vector, largest_magnitude
from tuibench.engines.fused.matrices import (
    FP32_BYTES,
    INT8_STEP,
    LANES,
    Fp32Matrix,
    Int8Matrix,
    Matrix,
    allocate,
    n_panels,
    padded,
)

_INT8_MAX = np.float32(127)


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
    cosine: NDArray[np.float32]
    """`[tables, capacity, head_dim / 2]`; no columns where positions are learned."""
    sine: NDArray[np.float32]


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


def put_key(store: Store, index: int, position: int, key: Vector) -> None:
    """Store the key of one KV head, and leave in `key` what was stored."""
    raise NotImplementedError  # this and what follows are chosen by type, while compiling


def put_value(store: Store, index: int, position: int, value: Vector) -> None:
    """Store the value of one KV head, and leave in `value` what was stored."""
    raise NotImplementedError


def keys_of(store: Store, first: int, last: int) -> Fp32Matrix | Int8Matrix:
    """Return the keys of the panels `first ≤ p < last` of 16 positions."""
    raise NotImplementedError


def values_of(store: Store, first: int, n_positions: int) -> Fp32Matrix | Int8Matrix:
    """Return the values of `n_positions` from panel `first` on; in INT8, up to a whole step of them."""
    raise NotImplementedError


def scale_weights(store: Store, index: int, first: int, weights: Vector) -> None:
    """Multiply the weights of positions from panel `first` on by the scales of their values."""
    raise NotImplementedError


@kernel
def _put_fp32_key(store: Fp32Store, index: int, position: int, key: Vector) -> None:
    panel = store.keys.high_bytes[index, position // LANES].view(np.float32)
    for i in range(key.size):
        panel[i, position % LANES] = key[i]


@kernel
def _put_fp32_value(store: Fp32Store, index: int, position: int, value: Vector) -> None:
    for i in range(value.size):
        row = store.values.high_bytes[index, i // LANES, position].view(np.float32)
        row[i % LANES] = value[i]


@kernel
def _round(x: Vector) -> np.float32:
    """`x = round(x / scale)`, whole numbers within ±127; return `scale = max |x| / 127`, or 1 for zeros."""
    largest = largest_magnitude(x)
    # Not "if it is above zero": what is not a number is to stay so.
    scale = np.float32(1) if largest == 0 else largest / _INT8_MAX
    inverse = np.float32(1) / scale
    for i in range(x.size):
        x[i] = np.rint(x[i] * inverse)
    return scale


@kernel
def _multiply(x: Vector, factor: np.float32) -> None:
    for i in range(x.size):
        x[i] *= factor


@kernel
def _put_int8_key(store: Int8Store, index: int, position: int, key: Vector) -> None:
    panel, lane = position // LANES, position % LANES
    scale, codes = _round(key), store.keys.codes[index, panel].reshape(-1, LANES, 2)
    for i in range(key.size):
        codes[i // 2, lane, i % 2] = np.int8(key[i])
    store.keys.scales[index, panel, lane] = scale
    _multiply(key, scale)


@kernel
def _put_int8_value(store: Int8Store, index: int, position: int, value: Vector) -> None:
    scale, place = _round(value), position % INT8_STEP // 2 * 2 * LANES + position % 2
    for i in range(value.size):
        step = store.values.codes[index, i // LANES, position // INT8_STEP]
        step[place + 2 * (i % LANES)] = np.int8(value[i])
    store.value_scales[index, position] = scale
    _multiply(value, scale)


@overload(put_key, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types, here and below
def _choose_put_key(store: Any, index: Any, position: Any, key: Any) -> Any:
    if holds(store, Fp32Store):
        return lambda store, index, position, key: _put_fp32_key(store, index, position, key)  # noqa: PLW0108 - Numba asks for a plain function
    return lambda store, index, position, key: _put_int8_key(store, index, position, key)  # noqa: PLW0108 - Numba asks for a plain function


@overload(put_value, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_put_value(store: Any, index: Any, position: Any, value: Any) -> Any:
    if holds(store, Fp32Store):
        return lambda store, index, position, value: _put_fp32_value(store, index, position, value)  # noqa: PLW0108 - Numba asks for a plain function
    return lambda store, index, position, value: _put_int8_value(store, index, position, value)  # noqa: PLW0108 - Numba asks for a plain function


@overload(keys_of, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_keys(store: Any, first: Any, last: Any) -> Any:
    if holds(store, Fp32Store):
        return lambda store, first, last: Fp32Matrix(store.keys.high_bytes[:, first:last], store.keys.n_bytes)
    return lambda store, first, last: Int8Matrix(store.keys.codes[:, first:last], store.keys.scales[:, first:last])


@overload(values_of, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_values(store: Any, first: Any, n_positions: Any) -> Any:
    if holds(store, Fp32Store):

        def exact(store, first, n_positions):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
            begin = first * LANES
            return Fp32Matrix(store.values.high_bytes[:, :, begin : begin + n_positions], store.values.n_bytes)

        return exact

    def rounded(store, first, n_positions):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        begin, n_steps = first * LANES // INT8_STEP, (n_positions + INT8_STEP - 1) // INT8_STEP
        return Int8Matrix(store.values.codes[:, :, begin : begin + n_steps], store.values.scales[:, :])

    return rounded


@overload(scale_weights, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_scaling(store: Any, index: Any, first: Any, weights: Any) -> Any:
    if holds(store, Fp32Store):
        return lambda store, index, first, weights: None  # noqa: ARG005 - values have no scales

    def scaled(store, index, first, weights):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        scales = store.value_scales[index, first * LANES :]
        for p in range(weights.size):
            weights[p] *= scales[p]

    return scaled
