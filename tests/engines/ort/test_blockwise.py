from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuibench.engines.ort.quantise.blockwise import pick_block_size, quantise_blockwise
from tuibench.engines.ort.quantise.gptq import quantise_compensated


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


@pytest.mark.parametrize("symmetric", [True, False])
def test_compensated_rounding_changes_the_products_less_than_the_nearest(symmetric):
    rng = np.random.default_rng(0)
    inputs = (rng.normal(size=(500, 96)) @ rng.normal(size=(96, 96))).astype(np.float32)
    matrix = rng.normal(size=(40, 96)).astype(np.float32)
    moments = inputs.T @ inputs / 500

    def error(weight):
        return np.square(inputs @ (dequantised(weight, 96) - matrix).T).mean()

    nearest = error(quantise_blockwise(matrix, 4, 32, symmetric=symmetric))
    assert error(quantise_compensated(matrix, moments, 4, 32, symmetric=symmetric)) < 0.7 * nearest


def test_compensated_rounding_stands_inputs_that_are_always_zero():
    matrix = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    weight = quantise_compensated(matrix, np.zeros((64, 64), np.float32), 4, 32)
    np.testing.assert_allclose(dequantised(weight, 64), matrix, atol=0.5)


def test_zeros_stay_zero():
    weight = quantise_blockwise(np.zeros((2, 64), np.float32), 4, 32, symmetric=False)
    assert not dequantised(weight, 64).any()


@pytest.mark.parametrize(
    ("n_columns", "largest", "expected"), [(576, 128, 64), (768, 128, 128), (100, 64, 32), (48, 64, 16)]
)
def test_block_divides_the_row_where_it_can(n_columns, largest, expected):
    assert pick_block_size(n_columns, largest) == expected
