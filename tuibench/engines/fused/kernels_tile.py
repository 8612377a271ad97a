"""Rows of a matrix times many vectors, in tiles of 4 rows by 4 tokens whose 16 sums stay in registers.

`out[t, r] = Σₖ w[r, k] · x[t, k]`: a weight is read once per block of tokens, so that the prompt is bound by arithmetic
where a single token is bound by memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels_dot import OPTIONS, Inputs, expand_int4, holds, prepare_inputs
from tuibench.engines.fused.matrices import Fp32Matrix, Int4Matrix, Int8Matrix, Matrix
from tuibench.engines.fused.vector_ir import TILE, tile_fp32, tile_int8

Tokens = NDArray[np.float32]
_TOKEN_BLOCK = 64
"""Tokens whose vectors stay in the second-level cache while all rows pass by."""


class Batch(NamedTuple):
    """The vectors of many tokens, in all forms that a product may want; as many rows as fill whole tiles."""

    values: Tokens
    codes: NDArray[np.int16]
    scales: Tokens
    """`[tokens, 1]`"""
    sums: Tokens
    tiles: Tokens
    """`[workers, 16]`"""
    tiles_int32: NDArray[np.int32]
    rows: Tokens
    """`[workers · 4, inputs]`, for weights that have to be expanded."""


@kernel
def prepare_token(matrix: Matrix, batch: Batch, token: int, n_inputs: int) -> None:
    """Derive what the product needs from `batch.values[token]`: rounded for each token by itself, as in decoding."""
    inputs = Inputs(batch.values[token], batch.codes[token], batch.scales[token], batch.sums[token])
    prepare_inputs(matrix, inputs, n_inputs)
    _round_values(matrix, inputs, n_inputs)


def _round_values(matrix: Matrix, inputs: Inputs, n_inputs: int) -> None:
    """Where the product multiplies `values` although decoding multiplies `codes`, make them the same numbers."""
    raise NotImplementedError  # chosen by type, while compiling


@kernel
def _values_of_codes(inputs: Inputs, n_inputs: int) -> None:
    for k in range(n_inputs):
        inputs.values[k] = np.float32(inputs.codes[k]) * inputs.scale[0]


@overload(_round_values, jit_options=OPTIONS, strict=False)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_rounding(matrix: Any, inputs: Any, n_inputs: Any) -> Any:  # noqa: ANN401, ARG001 - the signature counts
    if holds(matrix, Int4Matrix):
        return lambda matrix, inputs, n_inputs: _values_of_codes(inputs, n_inputs)  # noqa: ARG005
    return lambda matrix, inputs, n_inputs: None  # noqa: ARG005


def multiply_batch(
    matrix: Matrix, layer: int, first: int, last: int, batch: Batch, worker: int, n_inputs: int, out: Tokens
) -> None:
    """`out[:, first:last] = x · Wᵀ` for all tokens, after `prepare_token`."""
    raise NotImplementedError  # chosen by type, while compiling


class Tile(NamedTuple):
    """Which four rows are multiplied."""

    row: int
    """The first one, in the weights at hand."""
    output: int
    """What it is called in the whole matrix."""
    n_done: int
    """How many of the four belong to the tile before: the last tile of a matrix is moved back to be whole."""


@kernel
def _tile_at(wanted: int, n_rows: int) -> Tile:
    row = min(wanted, n_rows - TILE)
    return Tile(row, row, wanted - row)


@kernel
def _multiply_tile_fp32(
    weights: Tokens, tile: Tile, batch: Batch, begin: int, end: int, n_inputs: int, sums: Tokens, out: Tokens
) -> None:
    """Four rows by all tokens of one block."""
    for token in range(begin, end, TILE):
        n_whole = tile_fp32(weights, tile.row, batch.values, token, sums, n_inputs)
        for t in range(min(TILE, out.shape[0] - token)):
            for r in range(tile.n_done, TILE):
                total = sums[TILE * r + t]
                for k in range(n_whole, n_inputs):
                    total += weights[tile.row + r, k] * batch.values[token + t, k]
                out[token + t, tile.output + r] = total


@kernel
def _multiply_fp32(
    matrix: Fp32Matrix, layer: int, first: int, last: int, batch: Batch, worker: int, n_inputs: int, out: Tokens
) -> None:
    weights = matrix.values[layer]
    for begin in range(0, out.shape[0], _TOKEN_BLOCK):
        end = min(begin + _TOKEN_BLOCK, out.shape[0])
        for wanted in range(first, last, TILE):
            tile = _tile_at(wanted, weights.shape[0])
            _multiply_tile_fp32(weights, tile, batch, begin, end, n_inputs, batch.tiles[worker], out)


@kernel
def _multiply_int4(
    matrix: Int4Matrix, layer: int, first: int, last: int, batch: Batch, worker: int, n_inputs: int, out: Tokens
) -> None:
    """Rows are expanded once per block of tokens, into the first-level cache."""
    rows = batch.rows[worker * TILE : (worker + 1) * TILE]
    for begin in range(0, out.shape[0], _TOKEN_BLOCK):
        end = min(begin + _TOKEN_BLOCK, out.shape[0])
        for wanted in range(first, last, TILE):
            tile = _tile_at(wanted, matrix.words.shape[1])
            for r in range(TILE):
                expand_int4(matrix, layer, tile.row + r, rows[r][:n_inputs])
            expanded = Tile(0, tile.output, tile.n_done)
            _multiply_tile_fp32(rows, expanded, batch, begin, end, n_inputs, batch.tiles[worker], out)


@kernel
def _multiply_int8(
    matrix: Int8Matrix, layer: int, first: int, last: int, batch: Batch, worker: int, n_inputs: int, out: Tokens
) -> None:
    weights, scales, sums = matrix.codes[layer], matrix.scales[layer], batch.tiles_int32[worker]
    for begin in range(0, out.shape[0], _TOKEN_BLOCK):
        end = min(begin + _TOKEN_BLOCK, out.shape[0])
        for wanted in range(first, last, TILE):
            tile = _tile_at(wanted, weights.shape[0])
            for token in range(begin, end, TILE):
                tile_int8(weights, tile.row, batch.codes, token, sums, weights.shape[1])
                for t in range(min(TILE, out.shape[0] - token)):
                    for r in range(tile.n_done, TILE):
                        row = tile.row + r
                        out[token + t, row] = np.float32(sums[TILE * r + t]) * scales[row] * batch.scales[token + t, 0]


_PRODUCTS = {Fp32Matrix: _multiply_fp32, Int8Matrix: _multiply_int8, Int4Matrix: _multiply_int4}


@overload(multiply_batch, jit_options=OPTIONS, strict=False)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_product(
    matrix: Any, layer: Any, first: Any, last: Any, batch: Any, worker: Any, n_inputs: Any, out: Any
) -> Any:  # noqa: ANN401, ARG001
    product = next(product for kind, product in _PRODUCTS.items() if holds(matrix, kind))
    return lambda matrix, layer, first, last, batch, worker, n_inputs, out: product(
        matrix, layer, first, last, batch, worker, n_inputs, out
    )
