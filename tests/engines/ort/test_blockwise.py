from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuibench.engines.ort.blockwise import pick_block_size, quantise_blockwise


def dequantised(weight, n_columns):
    levels = weight.packed
    if weight.bits == 4:
        levels = np.stack([levels & 15, levels >> 4], axis=-1).reshape(*levels.shape[:2], -1)
    zeros = np.full(weight.scales.shape, 2 ** (weight.bits - 1))
    if weight.zero_points is not None:
        zeros = weight.zero_points
        if weight.bits == 4:
            zeros = np.stack([zeros & 15, zeros >> 4], axis=-1).reshape(len(zeros), -1)[:, : weight.scales.shape[1]]
    values = (levels.astype(np.float32) - zeros[..., None]) * weight.scales[..., None]
    return values.reshape(len(values), -1)[:, :n_columns]


@given(
    n_rows=st.integers(1, 5),
    n_columns=st.integers(1, 100),
    bits=st.sampled_from([4, 8]),
    block=st.sampled_from([16, 32, 64]),
    symmetric=st.booleans(),
    seed=st.integers(0, 100),
)
def test_no_weight_moves_further_than_its_block_allows(n_rows, n_columns, bits, block, symmetric, seed):
    matrix = np.random.default_rng(seed).normal(size=(n_rows, n_columns)).astype(np.float32)
    weight = quantise_blockwise(matrix, bits, block, symmetric=symmetric)
    padded = np.pad(matrix, ((0, 0), (0, -n_columns % block))).reshape(n_rows, -1, block)
    # A narrowed range cuts off a fifth at most; a zero point is rounded to a level. Scales may be negative.
    allowed = np.abs(padded).max(axis=-1) * (0.25 if bits == 4 else 0.01) + np.abs(weight.scales)
    moved = np.abs(dequantised(weight, n_columns) - matrix)
    assert (moved <= np.repeat(allowed, block, axis=1)[:, :n_columns] + 1e-6).all()


def test_zeros_stay_zero():
    weight = quantise_blockwise(np.zeros((2, 64), np.float32), 4, 32, symmetric=False)
    assert not dequantised(weight, 64).any()


@pytest.mark.parametrize(
    ("n_columns", "largest", "expected"), [(576, 128, 64), (768, 128, 128), (100, 64, 32), (48, 64, 16)]
)
def test_block_divides_the_row_where_it_can(n_columns, largest, expected):
    assert pick_block_size(n_columns, largest) == expected
