"""Weight matrices as a token reads them: rows of one output each, in FP32, INT8 or INT4.

A stack holds the same matrix of all layers. `w` stands for a weight, `q` for its code, `K` for the inputs of a row.

| precision | stored | bytes per weight |
|---|---|---|
| FP32 | `w` | 4 |
| INT8 | `w ≈ q · scale`, one scale per row | 1 + 4 / K |
| INT4 | `w ≈ q · scale + minimum`, both per 32 weights, FP16 | 0.5 + 4 / 32 |
"""

from __future__ import annotations

import mmap
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.vector_ir import INT4_LANES, INT8_LANES

INT4_BLOCK = 32
_INT8_MAX, _INT4_MAX = 127, 15
_CODES_PER_WORD = 4
_HUGE_PAGE_BYTES = 2 << 20


class Fp32Matrix(NamedTuple):
    """Weights as they are."""

    values: NDArray[np.float32]
    """`[layers, outputs, inputs]`"""


class Int8Matrix(NamedTuple):
    """Symmetric, one scale per row."""

    codes: NDArray[np.int8]
    """`[layers, outputs, inputs]`, within ±127; rows end with zeros up to a multiple of 32"""
    scales: NDArray[np.float32]
    """`[layers, outputs]`"""


class Int4Matrix(NamedTuple):
    """Asymmetric, in blocks of 32 weights."""

    words: NDArray[np.uint16]
    """`[layers, outputs, inputs / 4]`, four codes each in the order of `dot_int4`; zeros up to a multiple of 64 codes"""
    levels: NDArray[np.uint16]
    """`[layers, outputs, inputs / 16]`, the bits of FP16 numbers: for each two blocks both scales, then both minima"""


Matrix = Fp32Matrix | Int8Matrix | Int4Matrix


def allocate(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[np.generic]:
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
        self._matrix = Fp32Matrix(allocate((n_layers, n_outputs, n_inputs), np.float32))

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        self._matrix.values[layer] = weights

    def stack(self) -> Fp32Matrix:
        return self._matrix


class Int8Writer:
    """Rounds to the nearest of 255 multiples of each row's scale."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        self._matrix = Int8Matrix(
            allocate((n_layers, n_outputs, padded(n_inputs, INT8_LANES)), np.int8),
            np.zeros((n_layers, n_outputs), np.float32),
        )

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        scales = np.maximum(weights.max(axis=1), -weights.min(axis=1)) / np.float32(_INT8_MAX)
        scales[scales == 0] = 1
        self._matrix.scales[layer] = scales
        scaled = weights * (1 / scales)[:, None]
        self._matrix.codes[layer, :, : weights.shape[1]] = np.rint(scaled, out=scaled)

    def stack(self) -> Int8Matrix:
        return self._matrix


class Int4Writer:
    """Rounds to the nearest of 16 steps between the least and the greatest weight of each block."""

    def __init__(self, n_layers: int, n_outputs: int, n_inputs: int) -> None:
        self._n_padded = padded(n_inputs, INT4_LANES)
        self._matrix = Int4Matrix(
            allocate((n_layers, n_outputs, self._n_padded // _CODES_PER_WORD), np.uint16),
            allocate((n_layers, n_outputs, 2 * self._n_padded // INT4_BLOCK), np.uint16),
        )

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        n_outputs, n_inputs = weights.shape
        # Padding repeats the last weight, so that it does not widen the range of its block.
        wide = np.pad(weights, ((0, 0), (0, self._n_padded - n_inputs)), mode="edge")
        blocks = wide.reshape(n_outputs, -1, INT4_BLOCK)
        minima = blocks.min(axis=2).astype(np.float16)
        scales = ((blocks.max(axis=2) - minima) / _INT4_MAX).astype(np.float16)
        inverse = np.divide(1, scales, out=np.zeros(scales.shape, np.float32), where=scales > 0, dtype=np.float32)
        codes = np.rint((blocks - minima[..., None].astype(np.float32)) * inverse[..., None])
        self._matrix.words[layer] = pack_nibbles(np.clip(codes, 0, _INT4_MAX).astype(np.uint16).reshape(n_outputs, -1))
        by_two = [levels.reshape(n_outputs, -1, 2) for levels in (scales, minima)]
        self._matrix.levels[layer] = np.concatenate(by_two, axis=2).reshape(n_outputs, -1).view(np.uint16)

    def stack(self) -> Int4Matrix:
        return self._matrix


def pack_nibbles(codes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return `[rows, n / 4]` words of `[rows, n]` codes; see `dot_int4` for their order."""
    planes = codes.reshape(len(codes), -1, _CODES_PER_WORD, INT4_LANES // _CODES_PER_WORD)
    words = planes[:, :, 0] | planes[:, :, 1] << 4 | planes[:, :, 2] << 8 | planes[:, :, 3] << 12
    return words.reshape(len(codes), -1)


def padded(n: int, multiple: int) -> int:
    """Return the least multiple that is not below `n`."""
    return -(-n // multiple) * multiple


WRITERS: dict[str, type[StackWriter]] = {"fp32": Fp32Writer, "int8": Int8Writer, "int4": Int4Writer}
"""By precision."""
