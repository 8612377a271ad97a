"""Rows of a matrix times vectors: one for a token that is decoded, many for a prompt. Here the bytes are read.

`out[t, r] = Σₖ w[r, k] · x[t, k]`. With one vector a weight is read from memory once and used once: memory sets the
pace. With many, it is used for a whole block of them while it is in the first-level cache: arithmetic sets it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from tuibench.engines.fused.buffers import Inputs, Tokens
from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.kernels.vector import largest_magnitude
from tuibench.engines.fused.kernels.vector_ir import multiply_panel
from tuibench.engines.fused.matrices import INT4_BLOCK, Fp32Matrix, Int4Matrix, Matrix

_INT8_MAX = 127
_INT16_MAX = 32767
_INT32_MAX = 2**31 - 1


@kernel
def part_of(inputs: Inputs, part: int, n_tokens: int) -> Inputs:
    """Return one of several parts of `n_tokens` rows each."""
    first, last = part * n_tokens, (part + 1) * n_tokens
    values, codes = inputs.values[first:last], inputs.codes[first:last]
    return Inputs(values, codes, inputs.scales[first:last], inputs.sums[first:last])


@kernel
def multiply(matrix: Matrix, layer: int, first: int, last: int, inputs: Inputs, n_tokens: int, out: Tokens) -> None:
    """Fill the columns of the panels `first ≤ p < last` in `n_tokens` rows of `out`, after `prepare_inputs`."""
    for panel in range(first, last):
        token = 0
        while token + 8 <= n_tokens:
            multiply_panel(8, matrix, layer, panel, inputs, token, out)
            token += 8
        while token + 4 <= n_tokens:
            multiply_panel(4, matrix, layer, panel, inputs, token, out)
            token += 4
        while token + 2 <= n_tokens:
            multiply_panel(2, matrix, layer, panel, inputs, token, out)
            token += 2
        while token < n_tokens:
            multiply_panel(1, matrix, layer, panel, inputs, token, out)
            token += 1


def prepare_inputs(matrix: Matrix, inputs: Inputs, token: int, n_inputs: int) -> None:
    """Derive from `inputs.values[token, :n_inputs]` what the product with this kind of matrix needs."""
    raise NotImplementedError  # chosen by type, while compiling


@kernel
def _quantise(inputs: Inputs, token: int, n_inputs: int) -> None:
    """Round a vector to INT16 with one scale, as large as 32-bit sums of products with ±127 allow: 11 to 15 bits.

    INT8 would ruin models whose activations have a few huge elements; INT16 costs no weight bytes.
    """
    x, codes = inputs.values[token], inputs.codes[token]
    largest = largest_magnitude(x[:n_inputs])
    limit = np.float32(min(_INT16_MAX, _INT32_MAX // (_INT8_MAX * n_inputs)))
    inputs.scales[token, 0] = largest / limit
    inverse = limit / largest if largest > 0 else np.float32(0)
    for k in range(n_inputs):
        codes[k] = np.int16(np.int32(np.rint(x[k] * inverse)))
    for k in range(n_inputs, (n_inputs + INT4_BLOCK - 1) // INT4_BLOCK * INT4_BLOCK):
        codes[k] = 0


@kernel
def _sum_blocks(inputs: Inputs, token: int, n_inputs: int) -> None:
    """Leave the sum of every 32 codes: their rounding errors then cancel like those of the products."""
    codes = inputs.codes[token]
    for block in range((n_inputs + INT4_BLOCK - 1) // INT4_BLOCK):
        total = np.int32(0)
        for k in range(INT4_BLOCK):
            total += np.int32(codes[block * INT4_BLOCK + k])
        inputs.sums[token, block] = np.float32(total)


def holds(matrix: Any, kind: type) -> bool:
    """Return whether an argument is a matrix of a kind, as far as Numba's types tell."""
    return isinstance(matrix, types.BaseNamedTuple) and matrix.instance_class is kind


@overload(prepare_inputs, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_preparation(matrix: Any, inputs: Any, token: Any, n_inputs: Any) -> Any:
    if holds(matrix, Fp32Matrix):
        return lambda matrix, inputs, token, n_inputs: None  # noqa: ARG005 - the vector is used as it is
    if not holds(matrix, Int4Matrix):
        return lambda matrix, inputs, token, n_inputs: _quantise(inputs, token, n_inputs)  # noqa: ARG005

    def prepare(matrix, inputs, token, n_inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        _quantise(inputs, token, n_inputs)
        _sum_blocks(inputs, token, n_inputs)

    return prepare
