"""Weight matrices as a token reads them: panels of 16 rows, a row being one output; in FP32, INT8 or INT4.

A stack holds the same matrix of all layers. `w` stands for a weight, `q` for its code, `K` for the inputs of a row.
Within a panel the weights lie in the order in which `vector_ir` reads them: those of one input, or two, for all 16
rows, then the next. The last panel ends with rows of zeros.

| precision | stored | bytes per weight |
|---|---|---|
| FP32 | `w`, without the last bytes that are zero in the whole layer | 4, 3 or 2 |
| INT8 | `w ≈ q · scale`, one scale per row | 1 + 4 / K |
| INT4 | `w ≈ q · scale + minimum`, both per 32 weights, FP16 | 0.5 + 4 / 32 |
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

LANES = 16
"""Rows of a panel: 32-bit numbers of one AVX-512 register; two where registers are half as wide."""
INT4_BLOCK = 32
FP32_BYTES = 4
INT8_STEP = 4
"""Inputs of one step of the inner loop; rows end with a whole one."""
_HUGE_PAGE_BYTES = 2 << 20
_Number = TypeVar("_Number", bound=np.generic)


class Fp32Matrix(NamedTuple):
    """Weights as they are, to the bit.

    Most checkpoints were trained in BF16 or FP16, or quantised once: every weight then ends with zeros, which need not
    be read from memory for every token. BF16 leaves 2 bytes of 4, FP16 and many products of a code and a scale 3.
    """

    high_bytes: NDArray[np.uint8]
    """`[layers, panels, inputs, 16 rows · m]`, where m is enough for all layers. With n bytes a weight, a layer is
    `[panels, inputs, 16 rows, n]`, the most significant bytes, least first, at the beginning of its part; what is left
    of that is never touched, yet may lie in a large page with what is: m should not be more than it has to."""
    n_bytes: NDArray[np.int64]
    """Of a weight, in each layer."""


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
    the 16 rows, a minimum for each. `pack_int4` says which word holds what."""


Matrix = Fp32Matrix | Int8Matrix | Int4Matrix


class Absent(NamedTuple):
    """In place of what most models lack: code for them is compiled without what would read it."""

    nothing: int = 0


def precision_of(matrix: Matrix) -> str:
    """Return the name of how a matrix is stored."""
    return {Fp32Matrix: "fp32", Int8Matrix: "int8", Int4Matrix: "int4"}[type(matrix)]


def allocate(shape: tuple[int, ...], dtype: type[_Number]) -> NDArray[_Number]:
    """Return zeroed memory in pages of 2 MiB where the system grants them: fewer address look-ups while streaming.

    Up to a vector of bytes behind it may be read: weights of fewer than four bytes are loaded as if they had four.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if n_bytes < _HUGE_PAGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(n_bytes + FP32_BYTES * LANES, np.uint8)[:n_bytes].view(dtype).reshape(shape)
    # Private: systems seldom grant huge pages to memory that may be shared, which is what `mmap` makes by default.
    buffer = mmap.mmap(-1, n_bytes + _HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    buffer.madvise(mmap.MADV_HUGEPAGE)
    # The kernel only makes huge pages of aligned memory. As buffers begin with a page, there is one or more behind it.
    whole = np.frombuffer(buffer, np.uint8)
    start = -whole.ctypes.data % _HUGE_PAGE_BYTES
    return whole[start : start + n_bytes].view(dtype).reshape(shape)


def used_parts(matrix: Matrix, layer: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the bytes of one layer, by the name of the array that they are in; how many they are, before them."""
    for name in reversed(matrix._fields):
        array: NDArray[Any] = getattr(matrix, name)
        part = array[layer : layer + 1].reshape(-1).view(np.uint8)
        if isinstance(matrix, Fp32Matrix) and name == "high_bytes":
            part = part[: _n_weights(matrix) * int(matrix.n_bytes[layer])]
        yield name, part


def stored_bytes(matrix: Matrix) -> int:
    """Return the bytes that one pass over all layers reads."""
    if isinstance(matrix, Fp32Matrix):
        return int(matrix.n_bytes.sum()) * _n_weights(matrix)
    return sum(int(array.nbytes) for array in matrix)


def _n_weights(matrix: Fp32Matrix) -> int:
    """Return those of a layer, the rows of zeros included."""
    return prod(matrix.high_bytes.shape[1:3]) * LANES


def n_panels(n_outputs: int) -> int:
    """Return how many panels hold the rows."""
    return padded(n_outputs, LANES) // LANES


def padded(n: int, multiple: int) -> int:
    """Return the least multiple that is not below `n`."""
    return -(-n // multiple) * multiple
