"""Weights of a checkpoint, a row an output, into the panels of `matrices`; compiled, since every start waits for it.

The kernels take the weights `w[r, k]` of one matrix. Lanes of the last panel that have no row stay as they were: zero.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.matrices import (
    FP32_BYTES,
    INT4_BLOCK,
    INT8_STEP,
    LANES,
    Fp32Matrix,
    Int4Matrix,
    Int8Matrix,
    Matrix,
    allocate,
    n_panels,
    padded,
)

Weights = NDArray[np.float32]
Bits = NDArray[np.uint32]
_INT8_MAX, _INT4_MAX = np.float32(127), np.float32(15)
_TILE = 64
"""Inputs of 16 rows that are turned at a time: what is read and what is written stay in the first-level cache."""


@entry
def pack_fp32(bits: Bits, high_bytes: NDArray[np.uint8]) -> int:
    """Fill `[panels, inputs, 16 rows, n]`, the beginning of `high_bytes`; return n, the bytes that hold each weight."""
    n_rows, n_inputs = bits.shape
    used = np.uint32(0)
    for r in range(n_rows):
        for k in range(n_inputs):
            used |= bits[r, k]
    n_bytes = 4 if used & np.uint32(0xFF) else 3 if used & np.uint32(0xFFFF) else 2
    packed = high_bytes.reshape(-1)[: high_bytes.size // 4 * n_bytes].reshape(-1, n_inputs, LANES, n_bytes)
    for panel in range(packed.shape[0]):
        for start in range(0, n_inputs, _TILE):
            for lane in range(min(LANES, n_rows - panel * LANES)):
                row = bits[panel * LANES + lane]
                for k in range(start, min(start + _TILE, n_inputs)):
                    for j in range(n_bytes):
                        packed[panel, k, lane, j] = np.uint8(row[k] >> np.uint32(8 * (4 - n_bytes + j)))
    return n_bytes


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
    """Pairs of inputs, each for all rows: byte `32 i + 2 · lane + j` of a panel is the code of input `2 i + j`.

    `rounded` has room for a row, rounded up to whole steps, and ends with zeros.
    """
    n_rows, n_inputs = weights.shape
    n_pairs = rounded.size // 2
    for panel in range(codes.shape[0]):
        pairs = codes[panel].reshape(n_pairs, LANES, 2)
        for lane in range(min(LANES, n_rows - panel * LANES)):
            scales[panel, lane] = _round_row(weights[panel * LANES + lane], rounded[:n_inputs])
            for i in range(n_pairs):
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


class StackWriter(Protocol):
    """Fills a stack, a layer at a time; several threads may fill different layers."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None: ...

    def put(self, layer: int, weights: Weights) -> None:
        """Store the matrix of one layer, `[outputs, inputs]`."""

    def stack(self) -> Matrix:
        """Return the filled stack."""


class Fp32Writer:
    """Keeps every bit that is not zero in a whole layer."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        self._matrix = Fp32Matrix(
            allocate((n_layers, n_panels(n_outputs), n_inputs, FP32_BYTES * LANES), np.uint8),
            np.zeros(n_layers, np.int64),
        )

    def put(self, layer: int, weights: Weights) -> None:
        bits = _as_compiled_for(weights).view(np.uint32)
        self._matrix.n_bytes[layer] = pack_fp32(bits, self._matrix.high_bytes[layer])

    def stack(self) -> Fp32Matrix:
        return self._matrix


class Int8Writer:
    """Rounds to the nearest of 255 multiples of each row's scale."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        steps = padded(n_inputs, INT8_STEP) // INT8_STEP
        self._matrix = Int8Matrix(
            allocate((n_layers, n_panels(n_outputs), steps, INT8_STEP * LANES), np.int8),
            np.zeros((n_layers, n_panels(n_outputs), LANES), np.float32),
        )

    def put(self, layer: int, weights: Weights) -> None:
        rounded = np.zeros(padded(weights.shape[1], INT8_STEP), np.int8)
        pack_int8(_as_compiled_for(weights), self._matrix.codes[layer], self._matrix.scales[layer], rounded)

    def stack(self) -> Int8Matrix:
        return self._matrix


class Int4Writer:
    """Rounds to the nearest of 16 steps between the least and the greatest weight of each block."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        words = INT4_BLOCK * LANES // 4 + 2 * LANES
        shape = (n_layers, n_panels(n_outputs), padded(n_inputs, INT4_BLOCK) // INT4_BLOCK, words)
        self._matrix = Int4Matrix(allocate(shape, np.uint16))

    def put(self, layer: int, weights: Weights) -> None:
        weights, blocks = _as_compiled_for(weights), self._matrix.blocks[layer]
        least, greatest = np.zeros((2, *blocks.shape[:2], LANES), np.float32)
        block_ranges(weights, least, greatest)
        minima = least.astype(np.float16)
        scales = ((greatest - minima) / _INT4_MAX).astype(np.float16)
        codes = np.zeros(INT4_BLOCK, np.uint16)
        pack_int4(weights, minima.astype(np.float32), scales.astype(np.float32), blocks, codes)
        blocks[..., -2 * LANES : -LANES], blocks[..., -LANES:] = scales.view(np.uint16), minima.view(np.uint16)

    def stack(self) -> Int4Matrix:
        return self._matrix


def _as_compiled_for(weights: Weights) -> Weights:
    """Return the same as whole rows that are only read: Numba would compile anew for any other kind of array."""
    rows = np.ascontiguousarray(weights).view()
    rows.flags.writeable = False
    return rows


WRITERS: dict[str, type[StackWriter]] = {"fp32": Fp32Writer, "int8": Int8Writer, "int4": Int4Writer}
"""By precision."""
