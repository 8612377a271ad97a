"""A matrix times many vectors, in groups of 12 that lie side by side: what a prompt is made of.

For one input the numbers of 12 vectors follow each other, so that a step of the inner loop finds all it needs at one
place. FP32 weights are expanded to four bytes first, a panel or two at a time, for all vectors of a block. So are INT4
weights where FP32 products are as fast as those of whole numbers, as without AVX-512: otherwise each group would unpack
all codes again, and scale its sums after every 32 inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload

from tuibench.engines.fused.buffers import FEW, GROUP, TILE_COLUMNS, Groups, Inputs, Tokens
from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.kernels.matrix import holds, prepare_inputs
from tuibench.engines.fused.kernels.tile_ir import expand_panel, multiply_tile
from tuibench.engines.fused.kernels.vector_ir import cpu_features, multiply_panel
from tuibench.engines.fused.matrices import INT4_BLOCK, LANES, Fp32Matrix, Int4Matrix, Matrix

_TOKEN_BLOCK = 44 * GROUP
"""Vectors that stay in the third-level cache while all rows pass by; weights are expanded once for all of them."""


def prepare_group_inputs(matrix: Matrix, rows: Inputs, groups: Groups, token: int, n_inputs: int) -> None:
    """Put the vector `rows.values[token, :n_inputs]` into its group, in the form that this kind of matrix needs."""
    raise NotImplementedError  # chosen by type, while compiling


def multiply_groups(
    matrix: Matrix, layer: int, first: int, last: int, groups: Groups, n_tokens: int, space: Tokens, out: Tokens
) -> None:
    """Fill the columns of the panels `first ≤ p < last` in the first rows of `out`, after `prepare_group_inputs`.

    Args:
        matrix: Stack of matrices.
        layer: Which of them.
        first: First panel.
        last: Panel after the last.
        groups: The vectors.
        n_tokens: How many they are; up to three rows of `out` after theirs are written, too.
        space: For weights of two panels in FP32, `[inputs, rounded up to whole blocks, 32]`.
        out: `[tokens, outputs]`
    """
    raise NotImplementedError  # chosen by type, while compiling


@kernel
def _group_values(rows: Inputs, groups: Groups, token: int, n_inputs: int) -> None:
    row, group = rows.values[token], groups.values[token // GROUP]
    for k in range(n_inputs):
        group[k, token % GROUP] = row[k]
    for k in range(n_inputs, (n_inputs + INT4_BLOCK - 1) // INT4_BLOCK * INT4_BLOCK):
        group[k, token % GROUP] = 0


@kernel
def _group_codes(rows: Inputs, groups: Groups, token: int, n_inputs: int) -> None:
    pairs, group = rows.codes[token].view(np.int32), groups.codes[token // GROUP]
    for k in range((n_inputs + INT4_BLOCK - 1) // INT4_BLOCK * (INT4_BLOCK // 2)):
        group[k, token % GROUP] = pairs[k]


@kernel
def _multiply_expanded(
    matrix: Matrix, layer: int, first: int, last: int, groups: Groups, n_tokens: int, space: Tokens, out: Tokens
) -> None:
    for begin in range(0, n_tokens, _TOKEN_BLOCK):
        end = min(begin + _TOKEN_BLOCK, n_tokens)
        for panel in range(first, last - 1, 2):
            n_inputs = expand_panel(matrix, layer, panel, space, 0)
            expand_panel(matrix, layer, panel + 1, space, LANES)
            token = begin
            while token + GROUP <= end:
                a = groups.values[token // GROUP]
                multiply_tile(GROUP, TILE_COLUMNS, a, 0, space, 0, n_inputs, out, token, panel * LANES)
                token += GROUP
            while token < end:
                a = groups.values[token // GROUP]
                column = token % GROUP
                multiply_tile(FEW, TILE_COLUMNS, a, column, space, 0, n_inputs, out, token, panel * LANES)
                token += FEW
        if (last - first) % 2:
            n_inputs = expand_panel(matrix, layer, last - 1, space, 0)
            for token in range(begin, end, FEW):
                a, column = groups.values[token // GROUP], token % GROUP
                multiply_tile(FEW, LANES, a, column, space, 0, n_inputs, out, token, (last - 1) * LANES)


@kernel
def _multiply_panels(
    matrix: Matrix, layer: int, first: int, last: int, groups: Groups, n_tokens: int, out: Tokens
) -> None:
    for begin in range(0, n_tokens, _TOKEN_BLOCK):
        end = min(begin + _TOKEN_BLOCK, n_tokens)
        for panel in range(first, last):
            token = begin
            while token + GROUP <= end:
                multiply_panel(GROUP, matrix, layer, panel, groups, token, out)
                token += GROUP
            while token < end:
                multiply_panel(FEW, matrix, layer, panel, groups, token, out)
                token += FEW


def _is_expanded(matrix: Any) -> bool:
    return holds(matrix, Fp32Matrix) or (holds(matrix, Int4Matrix) and "+avx512bw" not in cpu_features())


@overload(prepare_group_inputs, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_preparation(matrix: Any, rows: Any, groups: Any, token: Any, n_inputs: Any) -> Any:
    if _is_expanded(matrix):
        return lambda matrix, rows, groups, token, n_inputs: _group_values(rows, groups, token, n_inputs)  # noqa: ARG005

    def prepare(matrix, rows, groups, token, n_inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        prepare_inputs(matrix, rows, token, n_inputs)
        _group_codes(rows, groups, token, n_inputs)

    return prepare


@overload(multiply_groups, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_product(
    matrix: Any, layer: Any, first: Any, last: Any, groups: Any, n_tokens: Any, space: Any, out: Any
) -> Any:
    if _is_expanded(matrix):

        def expanded(matrix, layer, first, last, groups, n_tokens, space, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
            _multiply_expanded(matrix, layer, first, last, groups, n_tokens, space, out)

        return expanded

    def stored(matrix, layer, first, last, groups, n_tokens, space, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        _multiply_panels(matrix, layer, first, last, groups, n_tokens, out)

    return stored
