"""How the kernels write keys and values into the cache, and read them as matrices; see `cache`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload

from tuibench.engines.fused.cache import Fp32Store, Int8Store, Store
from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.kernels.matrix import holds
from tuibench.engines.fused.kernels.vector import Vector, largest_magnitude
from tuibench.engines.fused.matrices import (
    INT8_STEP,
    LANES,
    Fp32Matrix,
    Int8Matrix,
)

_INT8_MAX = np.float32(127)


def put_key(store: Store, index: int, position: int, key: Vector) -> None:
    """Store the key of one KV head, and leave in `key` what was stored."""
    raise NotImplementedError  # this and what follows are chosen by type, while compiling


def put_value(store: Store, index: int, position: int, value: Vector) -> None:
    """Store the value of one KV head, and leave in `value` what was stored."""
    raise NotImplementedError


def get_key(store: Store, index: int, position: int, out: Vector) -> None:
    """Fill `out` with what `put_key` left."""
    raise NotImplementedError


def get_value(store: Store, index: int, position: int, out: Vector) -> None:
    """Fill `out` with what `put_value` left."""
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
def _get_fp32_key(store: Fp32Store, index: int, position: int, out: Vector) -> None:
    panel = store.keys.high_bytes[index, position // LANES].view(np.float32)
    for i in range(out.size):
        out[i] = panel[i, position % LANES]


@kernel
def _get_fp32_value(store: Fp32Store, index: int, position: int, out: Vector) -> None:
    for i in range(out.size):
        row = store.values.high_bytes[index, i // LANES, position].view(np.float32)
        out[i] = row[i % LANES]


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
    scale, codes = _round(key), store.keys.codes[index, panel]
    for i in range(key.size):
        codes[i // INT8_STEP, i % INT8_STEP // 2 * 2 * LANES + 2 * lane + i % 2] = np.int8(key[i])
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


@kernel
def _get_int8_key(store: Int8Store, index: int, position: int, out: Vector) -> None:
    panel, lane = position // LANES, position % LANES
    scale, codes = store.keys.scales[index, panel, lane], store.keys.codes[index, panel]
    for i in range(out.size):
        out[i] = np.float32(codes[i // INT8_STEP, i % INT8_STEP // 2 * 2 * LANES + 2 * lane + i % 2]) * scale


@kernel
def _get_int8_value(store: Int8Store, index: int, position: int, out: Vector) -> None:
    scale, place = store.value_scales[index, position], position % INT8_STEP // 2 * 2 * LANES + position % 2
    for i in range(out.size):
        step = store.values.codes[index, i // LANES, position // INT8_STEP]
        out[i] = np.float32(step[place + 2 * (i % LANES)]) * scale


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


@overload(get_key, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_get_key(store: Any, index: Any, position: Any, out: Any) -> Any:
    if holds(store, Fp32Store):
        return lambda store, index, position, out: _get_fp32_key(store, index, position, out)  # noqa: PLW0108 - Numba asks for a plain function
    return lambda store, index, position, out: _get_int8_key(store, index, position, out)  # noqa: PLW0108 - Numba asks for a plain function


@overload(get_value, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_get_value(store: Any, index: Any, position: Any, out: Any) -> Any:
    if holds(store, Fp32Store):
        return lambda store, index, position, out: _get_fp32_value(store, index, position, out)  # noqa: PLW0108 - Numba asks for a plain function
    return lambda store, index, position, out: _get_int8_value(store, index, position, out)  # noqa: PLW0108 - Numba asks for a plain function


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
