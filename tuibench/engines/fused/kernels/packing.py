"""Weights of a checkpoint, a row an output, into the panels of `matrices`; compiled, since a start may wait for it.

The kernels take the weights `w[r, k]` of one matrix. Lanes of the last panel that have no row stay as they were: zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.matrices import INT4_BLOCK, LANES

Weights = NDArray[np.float32]
Bits = NDArray[np.uint32]
_INT8_MAX, _INT4_MAX = np.float32(127), np.float32(15)
_TILE = 64
"""Inputs of 16 rows that are turned at a time: what is read and what is written stay in the first-level cache."""


@entry
def bytes_in_use(bits: Bits) -> int:
    """Return how many bytes hold each weight: 4, or 3 or 2 where the last ones are zero in all of them."""
    n_rows, n_inputs = bits.shape
    used = np.uint32(0)
    for r in range(n_rows):
        for k in range(n_inputs):
            used |= bits[r, k]
    return 4 if used & np.uint32(0xFF) else 3 if used & np.uint32(0xFFFF) else 2


@entry
def pack_fp32(bits: Bits, packed: NDArray[np.uint8]) -> None:
    """Fill `[panels, inputs, 16 rows, n]` with the n most significant bytes of each weight."""
    n_rows, n_inputs = bits.shape
    n_bytes = packed.shape[3]
    for panel in range(packed.shape[0]):
        for start in range(0, n_inputs, _TILE):
            for lane in range(min(LANES, n_rows - panel * LANES)):
                row = bits[panel * LANES + lane]
                for k in range(start, min(start + _TILE, n_inputs)):
                    for j in range(n_bytes):
                        packed[panel, k, lane, j] = np.uint8(row[k] >> np.uint32(8 * (4 - n_bytes + j)))


@kernel
def _round_row(row: Weights, codes: NDArray[np.int8]) -> np.float32:
    """`codes = round(w / scale)`; return `scale = max |w| / 127`, or 1 for a row of zeros."""
    largest = np.float32(0)
    for k in range(row.size):
        largest = max(largest, abs(row[k]))
    scale = largest / _INT8_MAX if largest > 0 else np.float32(1)
    inverse = np.float32(1) / scale
    for k in range(row.size):
        codes[k] = np.int8(np.rint(row[k] * inverse))
    return scale


@entry
def pack_int8(
    weights: Weights, codes: NDArray[np.int8], scales: NDArray[np.float32], rounded: NDArray[np.int8]
) -> None:
    """Fill `[panels, pairs of inputs, 16 rows, 2]`.

    `rounded` has room for a row, rounded up to whole steps, and ends with zeros.
    """
    n_rows, n_inputs = weights.shape
    for panel in range(codes.shape[0]):
        pairs = codes[panel]
        for lane in range(min(LANES, n_rows - panel * LANES)):
            scales[panel, lane] = _round_row(weights[panel * LANES + lane], rounded[:n_inputs])
            for i in range(pairs.shape[0]):
                pairs[i, lane, 0] = rounded[2 * i]
                pairs[i, lane, 1] = rounded[2 * i + 1]


@entry
def block_ranges(weights: Weights, minima: NDArray[np.float32], maxima: NDArray[np.float32]) -> None:
    """Leave the least and the greatest of every 32 weights of a row, `[panels, blocks, 16 rows]`."""
    n_rows, n_inputs = weights.shape
    for r in range(n_rows):
        for block in range(minima.shape[1]):
            part = weights[r, block * INT4_BLOCK : min((block + 1) * INT4_BLOCK, n_inputs)]
            least = greatest = part[0]
            for k in range(part.size):
                least, greatest = min(least, part[k]), max(greatest, part[k])
            minima[r // LANES, block, r % LANES] = least
            maxima[r // LANES, block, r % LANES] = greatest


@kernel
def _round_block(part: Weights, minimum: np.float32, scale: np.float32, codes: NDArray[np.uint16]) -> None:
    """`codes = round((w − minimum) / scale)`, within 0 and 15."""
    inverse = np.float32(1) / scale if scale > 0 else np.float32(0)
    for k in range(part.size):
        code = np.rint((part[k] - minimum) * inverse)
        codes[k] = np.uint16(np.int32(min(max(code, np.float32(0)), _INT4_MAX)))


@entry
def pack_int4(
    weights: Weights,
    minima: NDArray[np.float32],
    scales: NDArray[np.float32],
    blocks: NDArray[np.uint16],
    codes: NDArray[np.uint16],
) -> None:
    """Words of four codes: bits `4 p` to `4 p + 3` of word `32 i + 2 · lane + j` are those of input `8 i + 2 p + j`.

    Minima and scales, `[panels, blocks, 16 rows]`, are the rounded ones that will be stored. `codes` has room for a
    block and begins with zeros.
    """
    n_rows, n_inputs = weights.shape
    for panel in range(blocks.shape[0]):
        for lane in range(min(LANES, n_rows - panel * LANES)):
            row = weights[panel * LANES + lane]
            for block in range(blocks.shape[1]):
                part = row[block * INT4_BLOCK : min((block + 1) * INT4_BLOCK, n_inputs)]
                _round_block(part, minima[panel, block, lane], scales[panel, block, lane], codes)
                for i in range(INT4_BLOCK // 8):
                    for j in range(2):
                        first = 8 * i + j
                        word = codes[first] | codes[first + 2] << 4 | codes[first + 4] << 8 | codes[first + 6] << 12
                        blocks[panel, block, 2 * LANES * i + 2 * lane + j] = word
