"""Rows of a matrix times one vector, for each way to store a matrix: where the bytes of a token are read.

Every kernel computes `out[r] = Σₖ w[r, k] · x[k]` for the rows `first ≤ r < last`, reads each weight once, and keeps
the vector (a few KB) in the first-level cache. The vector is brought into the form that the product wants first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import FAST, entry, kernel
from tuibench.engines.fused.matrices import INT4_BLOCK, Fp32Matrix, Int4Matrix, Int8Matrix, Matrix
from tuibench.engines.fused.vector_ir import INT4_LANES, dot_int4, dot_int8, float_of_half, prefetch

Vector = NDArray[np.float32]
OPTIONS = {"fastmath": FAST, "error_model": "numpy"}
PREFETCH_BYTES = 4096
"""Tried from 1 to 8 KiB: 4 KiB is the best for whole tokens, its neighbours are within 2 %."""
_CACHE_LINE_BYTES = 64
_INT8_MAX = 127
_INT16_MAX = 32767
_INT32_MAX = 2**31 - 1


@kernel
def _padded(n_inputs: int) -> int:
    """Return the length of the longest padding that any kind of matrix has."""
    return (n_inputs + INT4_LANES - 1) // INT4_LANES * INT4_LANES


class Inputs(NamedTuple):
    """The vector of one worker, in all its forms. Only that worker touches it."""

    values: Vector
    codes: NDArray[np.int16]
    """`values ≈ codes · scale[0]`"""
    scale: Vector
    sums: Vector
    """Sums of `values` over blocks of 32."""


@kernel
def prefetch_ahead(row: NDArray[np.generic]) -> None:
    """Ask for what lies `PREFETCH_BYTES` behind each cache line of a row.

    The processor's own prefetchers stop at every page of 4 KiB and start anew.
    """
    step = _CACHE_LINE_BYTES // row.itemsize
    for i in range(0, row.size, step):
        prefetch(row, i + PREFETCH_BYTES // row.itemsize)


def prepare_inputs(matrix: Matrix, inputs: Inputs, n_inputs: int) -> None:
    """Derive from `inputs.values[:n_inputs]` what the product with this kind of matrix needs."""
    raise NotImplementedError  # chosen by type, while compiling


def multiply(matrix: Matrix, layer: int, first: int, last: int, inputs: Inputs, out: Vector) -> None:
    """`out[first:last] = matrix[layer, first:last] · inputs`, after `prepare_inputs`."""
    raise NotImplementedError  # chosen by type, while compiling


@kernel
def _multiply_fp32(matrix: Fp32Matrix, layer: int, first: int, last: int, inputs: Inputs, out: Vector) -> None:
    """4 bytes a weight."""
    weights = matrix.values[layer]
    x = inputs.values[: weights.shape[1]]
    for row in range(first, last):
        w = weights[row]
        prefetch_ahead(w)
        total = np.float32(0)
        for k in range(x.size):
            total += w[k] * x[k]
        out[row] = total


@kernel
def _quantise_inputs(inputs: Inputs, n_inputs: int) -> None:
    """Round the vector to INT16 with one scale, as large as 32-bit sums of products with ±127 allow: 11 to 15 bits.

    INT8 would ruin models whose activations have a few huge elements; INT16 costs no weight bytes.
    """
    x, codes = inputs.values[:n_inputs], inputs.codes[:n_inputs]
    largest = np.float32(0)
    for k in range(n_inputs):
        largest = max(largest, abs(x[k]))
    limit = np.float32(min(_INT16_MAX, _INT32_MAX // (_INT8_MAX * n_inputs)))
    inputs.scale[0] = largest / limit
    inverse = limit / largest if largest > 0 else np.float32(0)
    for k in range(n_inputs):
        codes[k] = np.int16(np.rint(x[k] * inverse))
    inputs.codes[n_inputs : _padded(n_inputs)] = 0


@kernel
def _sum_blocks(inputs: Inputs, n_inputs: int) -> None:
    """Leave the sum of every 32 inputs, from the rounded ones: their errors then cancel like those of the products."""
    for block in range(_padded(n_inputs) // INT4_BLOCK):
        total = np.int32(0)
        for k in range(block * INT4_BLOCK, (block + 1) * INT4_BLOCK):
            total = np.int32(total + inputs.codes[k])
        inputs.sums[block] = np.float32(total) * inputs.scale[0]


@kernel
def _multiply_int8(matrix: Int8Matrix, layer: int, first: int, last: int, inputs: Inputs, out: Vector) -> None:
    """1 byte a weight; whole numbers inside the row (`vpmaddwd`), one multiplication by both scales at its end."""
    weights, scales = matrix.codes[layer], matrix.scales[layer]
    x = inputs.codes[: weights.shape[1]]
    input_scale = inputs.scale[0]
    for row in range(first, last):
        prefetch_ahead(weights[row])
        out[row] = np.float32(dot_int8(weights[row], x)) * scales[row] * input_scale


@kernel
def _multiply_int4(matrix: Int4Matrix, layer: int, first: int, last: int, inputs: Inputs, out: Vector) -> None:
    """0.625 bytes a weight: `Σ_b scale_b · Σ q x + minimum_b · Σ x`; the sums of x are the same for all rows."""
    words, levels = matrix.words[layer], matrix.levels[layer]
    x = inputs.codes[: 4 * words.shape[1]]
    for row in range(first, last):
        prefetch_ahead(words[row])
        prefetch_ahead(levels[row])
        out[row] = dot_int4(words[row], levels[row], x, inputs.sums, inputs.scale[0])


_PRODUCTS = {Fp32Matrix: _multiply_fp32, Int8Matrix: _multiply_int8, Int4Matrix: _multiply_int4}


def holds(matrix: Any, kind: type) -> bool:  # noqa: ANN401 - a Numba type
    return isinstance(matrix, types.BaseNamedTuple) and matrix.instance_class is kind


@overload(prepare_inputs, jit_options=OPTIONS, strict=False)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_preparation(matrix: Any, inputs: Any, n_inputs: Any) -> Any:  # noqa: ANN401, ARG001 - the signature counts
    if holds(matrix, Fp32Matrix):
        return lambda matrix, inputs, n_inputs: None  # noqa: ARG005 - the vector is used as it is
    if holds(matrix, Int8Matrix):
        return lambda matrix, inputs, n_inputs: _quantise_inputs(inputs, n_inputs)  # noqa: ARG005

    def prepare(matrix, inputs, n_inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001 - compiled
        _quantise_inputs(inputs, n_inputs)
        _sum_blocks(inputs, n_inputs)

    return prepare


@overload(multiply, jit_options=OPTIONS, strict=False)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_product(matrix: Any, layer: Any, first: Any, last: Any, inputs: Any, out: Any) -> Any:  # noqa: ANN401, ARG001
    product = next(product for kind, product in _PRODUCTS.items() if holds(matrix, kind))
    return lambda matrix, layer, first, last, inputs, out: product(matrix, layer, first, last, inputs, out)


@entry
def expand_rows(matrix: Matrix, layer: int, first: int, out: NDArray[np.float32]) -> None:
    """Write the weights of rows from `first` on as FP32, as many as `out` has, `[rows, inputs]`."""
    for row in range(out.shape[0]):
        _expand_row(matrix, layer, first + row, out[row])


def _expand_row(matrix: Matrix, layer: int, row: int, out: Vector) -> None:
    raise NotImplementedError  # chosen by type, while compiling


@kernel
def _expand_int8(matrix: Int8Matrix, layer: int, row: int, out: Vector) -> None:
    codes, scale = matrix.codes[layer, row], matrix.scales[layer, row]
    for k in range(out.size):
        out[k] = np.float32(codes[k]) * scale


@kernel
def expand_int4(matrix: Int4Matrix, layer: int, row: int, out: Vector) -> None:
    words, levels = matrix.words[layer, row], matrix.levels[layer, row]
    lanes = INT4_LANES // 4
    for plane_index in range((out.size + lanes - 1) // lanes):
        step, plane = plane_index // 4, plane_index % 4
        scale = float_of_half(levels[4 * step + plane // 2])
        minimum = float_of_half(levels[4 * step + 2 + plane // 2])
        mine, place = words[step * lanes : (step + 1) * lanes], out[plane_index * lanes : (plane_index + 1) * lanes]
        shift = np.uint16(4 * plane)
        if place.size == lanes:
            for lane in range(lanes):  # a length known while compiling: whole vectors
                place[lane] = np.float32(np.int32(mine[lane] >> shift) & 15) * scale + minimum
        else:
            for lane in range(place.size):
                place[lane] = np.float32(np.int32(mine[lane] >> shift) & 15) * scale + minimum


@overload(_expand_row, jit_options=OPTIONS, strict=False)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_expansion(matrix: Any, layer: Any, row: Any, out: Any) -> Any:  # noqa: ANN401, ARG001
    expand = _expand_int8 if holds(matrix, Int8Matrix) else expand_int4
    return lambda matrix, layer, row, out: expand(matrix, layer, row, out)
