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

INT4_BLOCK = 32
_INT8_MAX = 127
_HUGE_PAGE_BYTES = 2 << 20


class Fp32Matrix(NamedTuple):
    """Weights as they are."""

    values: NDArray[np.float32]
    """`[layers, outputs, inputs]`"""


class Int8Matrix(NamedTuple):
    """Symmetric, one scale per row."""

    codes: NDArray[np.int8]
    """`[layers, outputs, inputs]`, within ±127"""
    scales: NDArray[np.float32]
    """`[layers, outputs]`"""


Matrix = Fp32Matrix | Int8Matrix


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
            allocate((n_layers, n_outputs, n_inputs), np.int8), np.zeros((n_layers, n_outputs), np.float32)
        )

    def put(self, layer: int, weights: NDArray[np.float32]) -> None:
        scales = np.maximum(weights.max(axis=1), -weights.min(axis=1)) / np.float32(_INT8_MAX)
        scales[scales == 0] = 1
        self._matrix.scales[layer] = scales
        scaled = weights * (1 / scales)[:, None]
        self._matrix.codes[layer] = np.rint(scaled, out=scaled)

    def stack(self) -> Int8Matrix:
        return self._matrix


WRITERS: dict[str, type[StackWriter]] = {"fp32": Fp32Writer, "int8": Int8Writer}
"""By precision."""
