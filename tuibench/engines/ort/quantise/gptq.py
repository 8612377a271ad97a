"""Rounds a matrix so that its products change least, not its weights (GPTQ, Frantar et al. 2022).

Columns are rounded one after the other, and each one's error is made up for by those that are not rounded yet, as far
as the inputs that a calibration text brought depend on each other. https://arxiv.org/abs/2210.17323
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.ort.quantise.blockwise import BlockwiseWeight, best_grid, packed

_DAMPING = 0.01
"""Added to the diagonal, relative to its mean: what the text did not show is taken as independent."""
Matrix = NDArray[np.float32]


def quantise_compensated(
    weight: Matrix, moments: Matrix, bits: int, block_size: int, *, symmetric: bool = True
) -> BlockwiseWeight:
    """Return a matrix `[rows, columns]` rounded to `bits` in blocks, as `quantise_blockwise` lays it out.

    Args:
        weight: The matrix; each row is one output.
        moments: `[columns, columns]`, the mean of input times input.
        bits: 4 or 8.
        block_size: Weights that share a scale; has to divide the columns.
        symmetric: Whether zero is fixed in the middle of the range.
    """
    left = np.array(weight.T, np.float32, order="C")  # column by column from here on: they lie together
    n_columns, n_rows = left.shape
    spread = _spread(moments)
    importance = np.diag(moments).astype(np.float32)
    levels = np.empty((n_columns, n_rows), np.uint8)
    scales = np.empty((n_rows, n_columns // block_size), np.float32)
    zeros = np.empty_like(scales)
    for index, start in enumerate(range(0, n_columns, block_size)):
        end = start + block_size
        block = left[start:end]
        scale, zero = best_grid(block.T[:, None, :], bits, importance[start:end], symmetric=symmetric)
        scales[:, index], zeros[:, index] = scale[:, 0], zero[:, 0]
        grid = _Grid(scale[:, 0], zero[:, 0], 2**bits - 1)
        errors = _round_block(block, spread[start:end, start:end], grid, levels[start:end])
        left[end:] -= spread[start:end, end:].T @ errors
    return packed(levels.T.reshape(n_rows, -1, block_size), scales, zeros, bits, symmetric=symmetric)


class _Grid(NamedTuple):
    """The values that the weights of one block may take, row by row."""

    scale: Matrix
    zero: Matrix
    top: int


def _round_block(columns: Matrix, spread: Matrix, grid: _Grid, levels: NDArray[np.uint8]) -> Matrix:
    """Round the columns of one block; return what each one's error means to those after it."""
    errors = np.empty_like(columns)
    divisor = np.where(grid.scale == 0, 1, grid.scale)
    for index, exact in enumerate(columns):
        level = np.clip(np.rint(exact / divisor) + grid.zero, 0, grid.top)
        levels[index] = level
        errors[index] = (exact - (level - grid.zero) * grid.scale) / spread[index, index]
        columns[index + 1 :] -= spread[index, index + 1 :, None] * errors[index]
    return errors


def _spread(moments: Matrix) -> Matrix:
    """Return the upper Cholesky factor of the inverse: how a column's error is shared among those after it."""
    exact = moments.astype(np.float64)
    diagonal = np.diag(exact).copy()
    diagonal[diagonal == 0] = 1  # an input that is always zero: its weights do not matter
    np.fill_diagonal(exact, diagonal + _DAMPING * diagonal.mean())
    return np.ascontiguousarray(np.linalg.cholesky(np.linalg.inv(exact)).T, np.float32)
