"""Weight matrices as a token reads them: panels of 16 rows, a row being one output; in FP32, INT8 or INT4.

A stack holds the same matrix of all layers. `w` stands for a weight, `q` for its code, `K` for the inputs of a row.
Within a panel the weights lie in the order in which `vector_ir` reads them: those of one input, or two, for all 16
rows, then the next. The last panel ends with rows of zeros.

| precision | stored | bytes per weight |
|---|---|---|
| FP32 | `w` | 4 |
| INT8 | `w ≈ q · scale`, one scale per row | 1 + 4 / K |
| INT4 | `w ≈ q · scale + minimum`, both per 32 weights, FP16 | 0.5 + 4 / 32 |
"""

from __future__ import annotations

import mmap
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

LANES = 16
"""Rows of a panel: 32-bit numbers of one AVX-512 register; two where registers are half as wide."""
INT4_BLOCK = 32
_INT8_STEP = 4
_INT8_MAX, _INT4_MAX = 127, 15
_HUGE_PAGE_BYTES = 2 << 20
_Number = TypeVar("_Number", bound=np.generic)


class Fp32Matrix(NamedTuple):
    """Weights as they are."""

    values: NDArray[np.float32]
    """`[layers, panels, inputs, 16 rows]`"""


class Int8Matrix(NamedTuple):
    """Symmetric, one scale per row."""

    codes: NDArray[np.int8]
    """`[layers, panels, inputs / 4, 2 · 16 rows · 2]`: pairs of inputs, each for all rows; within ±127"""
    scales: NDArray[np.float32]
    """`[layers, panels, 16 rows]`"""


class Int4Matrix(NamedTuple):
    """Asymmetric, in blocks of 32 weights."""

    blocks: NDArray[np.uint16]
    """`[layers, panels, inputs / 32, 160]`: 128 words of four codes, then the bits of FP16 numbers: a scale for each of
    the 16 rows, a minimum for each. `pack_nibbles` says which word holds what."""


Matrix = Fp32Matrix | Int8Matrix | Int4Matrix


def allocate(shape: tuple[int, ...], dtype: type[_Number]) -> NDArray[_Number]:
    """Return zeroed memory in pages of 2 MiB where the system grants them: fewer address look-ups while streaming."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if n_bytes < _HUGE_PAGE_BYTES:
        return np.zeros(shape, dtype)
    buffer = mmap.mmap(-1, n_bytes + _HUGE_PAGE_BYTES)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        buffer.madvise(mmap.MADV_HUGEPAGE)
    # The kernel only makes huge pages of aligned memory.
    whole = np.frombuffer(buffer, np.uint8)
    start = -whole.ctypes.data % _HUGE_PAGE_BYTES
    return whole[start : start + n_bytes].view(dtype).reshape(shape)


class StackWriter(Protocol):
    """Fills a stack, one layer at a time."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None: ...

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        """Store the matrix of one layer, `[outputs, inputs]`."""

    def stack(self) -> Matrix:
        """Return the filled stack."""


class Fp32Writer:
    """Copies weights as they are."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        self._matrix = Fp32Matrix(allocate((n_layers, n_panels(n_outputs), n_inputs, LANES), np.float32))

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        self._matrix.values[layer] = panels(weights, weights.shape[1]).swapaxes(1, 2)

    def stack(self) -> Fp32Matrix:
        return self._matrix


class Int8Writer:
    """Rounds to the nearest of 255 multiples of each row's scale."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        steps = padded(n_inputs, _INT8_STEP) // _INT8_STEP
        self._matrix = Int8Matrix(
            allocate((n_layers, n_panels(n_outputs), steps, _INT8_STEP * LANES), np.int8),
            np.zeros((n_layers, n_panels(n_outputs), LANES), np.float32),
        )

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        scales = np.maximum(weights.max(axis=1), -weights.min(axis=1)) / np.float32(_INT8_MAX)
        scales[scales == 0] = 1
        self._matrix.scales[layer].reshape(-1)[: len(scales)] = scales
        scaled = weights * (1 / scales)[:, None]
        codes = np.rint(scaled, out=scaled).astype(np.int8)
        by_panel = panels(codes, padded(weights.shape[1], _INT8_STEP))
        pairs = by_panel.reshape(len(by_panel), LANES, -1, 2).swapaxes(1, 2)
        self._matrix.codes[layer] = pairs.reshape(len(by_panel), -1, _INT8_STEP * LANES)

    def stack(self) -> Int8Matrix:
        return self._matrix


class Int4Writer:
    """Rounds to the nearest of 16 steps between the least and the greatest weight of each block."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        self._n_padded = padded(n_inputs, INT4_BLOCK)
        words = INT4_BLOCK * LANES // 4 + 2 * LANES
        shape = (n_layers, n_panels(n_outputs), self._n_padded // INT4_BLOCK, words)
        self._matrix = Int4Matrix(allocate(shape, np.uint16))

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        # Padding repeats the last weight, so that it does not widen the range of its block.
        wide = np.pad(weights, ((0, 0), (0, self._n_padded - weights.shape[1])), mode="edge")
        by_panel = panels(wide, self._n_padded)
        blocks = by_panel.reshape(len(by_panel), LANES, -1, INT4_BLOCK)
        minima = blocks.min(axis=3).astype(np.float16)
        scales = ((blocks.max(axis=3) - minima) / _INT4_MAX).astype(np.float16)
        inverse = np.divide(1, scales, out=np.zeros(scales.shape, np.float32), where=scales > 0, dtype=np.float32)
        codes = np.rint((blocks - minima[..., None].astype(np.float32)) * inverse[..., None])
        words = pack_nibbles(np.clip(codes, 0, _INT4_MAX).astype(np.uint16))
        levels = [numbers.swapaxes(1, 2).view(np.uint16) for numbers in (scales, minima)]
        self._matrix.blocks[layer] = np.concatenate([words, *levels], axis=2)

    def stack(self) -> Int4Matrix:
        return self._matrix


def panels(weights: NDArray[np.generic], n_inputs: int) -> NDArray[np.generic]:
    """Return `[panels, 16, n_inputs]` of a matrix, with zeros where it has no rows or columns."""
    n_outputs, width = weights.shape
    whole = padded(n_outputs, LANES)
    if (whole, n_inputs) != weights.shape:
        weights = np.pad(weights, ((0, whole - n_outputs), (0, n_inputs - width)))
    return weights.reshape(-1, LANES, n_inputs)


def pack_nibbles(codes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return `[panels, blocks, 128]` words of `[panels, 16 rows, blocks, 32]` codes.

    Words 32 i to 32 i + 31 hold inputs 8 i to 8 i + 7 of all rows: word 32 i + 2 r + j, bits 4 p to 4 p + 3, is the
    code of row r and input 8 i + 2 p + j.
    """
    n_panels, n_rows, n_blocks, _ = codes.shape
    parts = codes.reshape(n_panels, n_rows, n_blocks, -1, 4, 2).transpose(0, 2, 3, 1, 5, 4)
    words = parts[..., 0].copy()
    for plane in range(1, 4):
        words |= parts[..., plane] << np.uint16(4 * plane)
    return words.reshape(n_panels, n_blocks, -1)


def n_panels(n_outputs: int) -> int:
    """Return how many panels hold the rows."""
    return padded(n_outputs, LANES) // LANES


def padded(n: int, multiple: int) -> int:
    """Return the least multiple that is not below `n`."""
    return -(-n // multiple) * multiple


WRITERS: dict[str, type[StackWriter]] = {"fp32": Fp32Writer, "int8": Int8Writer, "int4": Int4Writer}
"""By precision."""
