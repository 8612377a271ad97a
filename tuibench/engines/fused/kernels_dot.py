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

from tuibench.engines.fused.compiler import FAST, kernel
from tuibench.engines.fused.matrices import Fp32Matrix, Int8Matrix, Matrix

Vector = NDArray[np.float32]
_OPTIONS = {"fastmath": FAST, "error_model": "numpy"}
_INT8_MAX = 127
_INT16_MAX = 32767
_INT32_MAX = 2**31 - 1


class Inputs(NamedTuple):
    """The vector of one worker, in all its forms. Only that worker touches it."""

    values: Vector
    codes: NDArray[np.int16]
    """`values ≈ codes · scale[0]`"""
    scale: Vector
    sums: Vector
    """Sums of `values` over blocks of 32."""


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


@kernel
def _multiply_int8(matrix: Int8Matrix, layer: int, first: int, last: int, inputs: Inputs, out: Vector) -> None:
    """1 byte a weight; whole numbers inside the row (`vpmaddwd`), one multiplication by both scales at its end."""
    weights, scales = matrix.codes[layer], matrix.scales[layer]
    x = inputs.codes[: weights.shape[1]]
    input_scale = inputs.scale[0]
    for row in range(first, last):
        w = weights[row]
        total = np.int32(0)
        for k in range(x.size):
            total = np.int32(total + np.int32(w[k]) * np.int32(x[k]))
        out[row] = np.float32(total) * scales[row] * input_scale


def _holds(matrix: Any, kind: type) -> bool:  # noqa: ANN401 - a Numba type
    return isinstance(matrix, types.BaseNamedTuple) and matrix.instance_class is kind


@overload(prepare_inputs, jit_options=_OPTIONS, strict=False)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_preparation(matrix: Any, inputs: Any, n_inputs: Any) -> Any:  # noqa: ANN401, ARG001 - the signature counts
    if _holds(matrix, Fp32Matrix):
        return lambda matrix, inputs, n_inputs: None  # noqa: ARG005 - the vector is used as it is
    return lambda matrix, inputs, n_inputs: _quantise_inputs(inputs, n_inputs)  # noqa: ARG005


@overload(multiply, jit_options=_OPTIONS, strict=False)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_product(matrix: Any, layer: Any, first: Any, last: Any, inputs: Any, out: Any) -> Any:  # noqa: ANN401, ARG001
    product = _multiply_fp32 if _holds(matrix, Fp32Matrix) else _multiply_int8
    return lambda matrix, layer, first, last, inputs, out: product(matrix, layer, first, last, inputs, out)
