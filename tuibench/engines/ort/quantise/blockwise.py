"""Block-wise weight quantisation in the layout that ONNX Runtime's `MatMulNBits` reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 4096
"""Bounds the memory of a quantisation: an output head has 50,000 rows and more."""
_NIBBLE_BITS = 4
_WIDTHS = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Parts of a block's full range that are tried for 4 bits."""


@dataclass(frozen=True, slots=True)
class BlockwiseWeight:
    """A matrix `[rows, columns]`, each row cut into blocks with a scale of their own."""

    packed: NDArray[np.uint8]
    """`[rows, blocks, block_size * bits / 8]`, the first of two 4-bit values in the low half of a byte."""
    scales: NDArray[np.float32]
    """`[rows, blocks]`."""
    zero_points: NDArray[np.uint8] | None
    """`[rows, blocks]` for 8 bits, two in a byte for 4; None where the middle of the range is zero."""
    bits: int
    block_size: int

    @property
    def nbytes(self) -> int:
        """Bytes of everything a product has to read."""
        return self.packed.nbytes + self.scales.nbytes + (0 if self.zero_points is None else self.zero_points.nbytes)


def pick_block_size(n_columns: int, largest: int) -> int:
    """Return the largest block, a power of two from 16 on, that cuts rows without padding; 32 where none does."""
    size = largest
    while size >= 16:  # noqa: PLR2004 - the smallest block of the operator
        if n_columns % size == 0:
            return size
        size //= 2
    return 32


def quantise_blockwise(
    weight: NDArray[np.float32], bits: int, block_size: int, *, symmetric: bool = True
) -> BlockwiseWeight:
    """Return a matrix `[rows, columns]` rounded to `bits` (4 or 8) per weight.

    Args:
        weight: The matrix; each row is one output.
        bits: 4 or 8.
        block_size: Weights that share a scale; the last block of a row is padded with zeros.
        symmetric: Whether zero is fixed in the middle of the range, or each block has a zero point of its own.
    """
    parts = [
        _quantise_rows(np.asarray(weight[start : start + _ROWS_AT_ONCE]), bits, block_size, symmetric=symmetric)
        for start in range(0, len(weight), _ROWS_AT_ONCE)
    ]
    packed, scales, zero_points = zip(*parts, strict=True)
    return BlockwiseWeight(
        np.concatenate(packed),
        np.concatenate(scales),
        None if symmetric else np.concatenate(zero_points),
        bits,
        block_size,
    )


def _quantise_rows(
    weight: NDArray[np.float32], bits: int, block_size: int, *, symmetric: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    n_rows, n_columns = weight.shape
    padding = -n_columns % block_size
    blocks = np.pad(weight, ((0, 0), (0, padding))).reshape(n_rows, -1, block_size)
    levels, scales, zeros = _best_levels(blocks, bits, symmetric=symmetric)
    zero_points = zeros.astype(np.uint8)
    if bits == _NIBBLE_BITS:
        levels, zero_points = _pack_nibbles(levels), _pack_nibbles(zero_points)
    return levels, scales, zero_points


def packed(
    levels: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zeros: NDArray[np.float32],
    bits: int,
    *,
    symmetric: bool,
) -> BlockwiseWeight:
    """Return levels `[rows, blocks, block size]` as the operator stores them."""
    block_size, zero_points = levels.shape[-1], zeros.astype(np.uint8)
    if bits == _NIBBLE_BITS:
        levels, zero_points = _pack_nibbles(levels), _pack_nibbles(zero_points)
    return BlockwiseWeight(levels, scales, None if symmetric else zero_points, bits, block_size)


def best_grid(
    blocks: NDArray[np.float32], bits: int, importance: NDArray[np.float32], *, symmetric: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scales and zeros of `[rows, blocks, block size]` that lose least, columns weighed by importance."""
    _, scales, zeros = _best_levels(blocks, bits, importance, symmetric=symmetric)
    return scales, zeros


def _best_levels(
    blocks: NDArray[np.float32], bits: int, importance: NDArray[np.float32] | float = 1.0, *, symmetric: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return levels, scales and zeros; with 4 bits, of the range that loses least in the mean square.

    A range a little too narrow cuts off one weight and is finer for all others.
    """
    widths = _WIDTHS if bits == _NIBBLE_BITS else (1.0,)
    best = None
    least: NDArray[np.float32] = np.zeros((), np.float32)
    for width in widths:
        scales, zeros = (_symmetric if symmetric else _asymmetric)(blocks, bits, np.float32(width))
        divisor = np.where(scales == 0, 1, scales)
        levels = np.clip(np.rint(blocks / divisor[..., None]) + zeros[..., None], 0, 2**bits - 1)
        if len(widths) > 1:
            lost = np.square((levels - zeros[..., None]) * scales[..., None] - blocks)
            loss = (lost * importance).sum(axis=-1)
        else:
            loss = np.zeros(scales.shape, np.float32)
        if best is None:
            best, least = (levels, scales, zeros), loss
            continue
        better = loss < least
        least = np.where(better, loss, least)
        best = (
            np.where(better[..., None], levels, best[0]),
            np.where(better, scales, best[1]),
            np.where(better, zeros, best[2]),
        )
    assert best is not None  # noqa: S101 - there is at least one width
    return best[0].astype(np.uint8), best[1], best[2]


def _symmetric(
    blocks: NDArray[np.float32], bits: int, width: np.float32
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Map the value of largest magnitude to the end of the range that has one level more."""
    half = 2 ** (bits - 1)
    at = np.abs(blocks).argmax(axis=-1)
    extreme = np.take_along_axis(blocks, at[..., None], axis=-1)[..., 0]
    # With 4 bits every level counts, as in llama.cpp's Q4_0; with 8 the range may as well be even.
    scales = extreme / -half if bits == _NIBBLE_BITS else np.abs(extreme) / (half - 1)
    return (scales * width).astype(np.float32), np.full(scales.shape, half, np.float32)


def _asymmetric(
    blocks: NDArray[np.float32], bits: int, width: np.float32
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    low = np.minimum(blocks.min(axis=-1), 0) * width
    high = np.maximum(blocks.max(axis=-1), 0) * width
    scales = (high - low) / (2**bits - 1)
    divisor = np.where(scales == 0, 1, scales)
    return scales.astype(np.float32), np.clip(np.rint(-low / divisor), 0, 2**bits - 1).astype(np.float32)


def _pack_nibbles(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    padding = [(0, 0)] * (levels.ndim - 1) + [(0, levels.shape[-1] % 2)]
    levels = np.pad(levels, padding).astype(np.uint8, copy=False)
    packed: NDArray[np.uint8] = np.bitwise_or(levels[..., 0::2], levels[..., 1::2] << 4)
    return packed
