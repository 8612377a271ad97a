"""Weights of a checkpoint, a row an output, into the panels of `matrices`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.machine_code import Entry, entry
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
_INT4_MAX = np.float32(15)


class Packing(NamedTuple):
    """How one precision stores matrices."""

    empty: Callable[[int, int, int], Matrix]
    """Return a stack to be filled, of so many layers, outputs and inputs."""
    pack: Callable[[Weights], Matrix]
    """Return a stack of one layer, `[outputs, inputs]`; may be called by several threads."""
    by_rows: bool
    """Whether whole panels of a matrix come out the same packed apart."""


def empty_fp32(n_layers: int, n_outputs: int, n_inputs: int, widest: int = FP32_BYTES) -> Fp32Matrix:
    """Return a stack with room for so many bytes a weight."""
    shape = (n_layers, n_panels(n_outputs), n_inputs, widest * LANES)
    return Fp32Matrix(allocate(shape, np.uint8), np.zeros(n_layers, np.int64))


def _pack_fp32(weights: Weights) -> Fp32Matrix:
    """Keep every bit that is not zero in all of the matrix."""
    (n_outputs, n_inputs), bits = weights.shape, _as_compiled_for(weights).view(np.uint32)
    n_bytes = _kernel("bytes_in_use")(bits)
    matrix = empty_fp32(1, n_outputs, n_inputs, n_bytes)
    matrix.n_bytes[0] = n_bytes
    _kernel("pack_fp32")(bits, matrix.high_bytes.reshape(-1, n_inputs, LANES, n_bytes))
    return matrix


def _empty_int8(n_layers: int, n_outputs: int, n_inputs: int) -> Int8Matrix:
    steps = padded(n_inputs, INT8_STEP) // INT8_STEP
    return Int8Matrix(
        allocate((n_layers, n_panels(n_outputs), steps, INT8_STEP * LANES), np.int8),
        np.zeros((n_layers, n_panels(n_outputs), LANES), np.float32),
    )


def _pack_int8(weights: Weights) -> Int8Matrix:
    """Round to the nearest of 255 multiples of each row's scale."""
    matrix = _empty_int8(1, *weights.shape)
    rounded = np.zeros(padded(weights.shape[1], INT8_STEP), np.int8)
    _kernel("pack_int8")(
        _as_compiled_for(weights), matrix.codes[0].reshape(-1, len(rounded) // 2, LANES, 2), matrix.scales[0], rounded
    )
    return matrix


def _empty_int4(n_layers: int, n_outputs: int, n_inputs: int) -> Int4Matrix:
    words = INT4_BLOCK * LANES // 4 + 2 * LANES
    shape = (n_layers, n_panels(n_outputs), padded(n_inputs, INT4_BLOCK) // INT4_BLOCK, words)
    return Int4Matrix(allocate(shape, np.uint16))


def _pack_int4(weights: Weights) -> Int4Matrix:
    """Round to the nearest of 16 steps between the least and the greatest weight of each block."""
    matrix = _empty_int4(1, *weights.shape)
    weights, blocks = _as_compiled_for(weights), matrix.blocks[0]
    least, greatest = np.zeros((2, *blocks.shape[:2], LANES), np.float32)
    _kernel("block_ranges")(weights, least, greatest)
    minima = least.astype(np.float16)
    scales = ((greatest - minima) / _INT4_MAX).astype(np.float16)
    codes = np.zeros(INT4_BLOCK, np.uint16)
    _kernel("pack_int4")(weights, minima.astype(np.float32), scales.astype(np.float32), blocks, codes)
    blocks[..., -2 * LANES : -LANES], blocks[..., -LANES:] = scales.view(np.uint16), minima.view(np.uint16)
    return matrix


def _as_compiled_for(weights: Weights) -> Weights:
    """Return the same as whole rows in one piece."""
    return np.ascontiguousarray(weights)


def _kernel(name: str) -> Entry:
    return entry("common", name)


PACKINGS = {
    "fp32": Packing(empty_fp32, _pack_fp32, by_rows=False),
    "int8": Packing(_empty_int8, _pack_int8, by_rows=True),
    "int4": Packing(_empty_int4, _pack_int4, by_rows=True),
}
"""By precision."""
EMPTY = {precision: packing.empty for precision, packing in PACKINGS.items()}
"""What returns a stack to be filled."""
