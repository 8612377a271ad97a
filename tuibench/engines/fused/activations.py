"""Activations by number, as the kernels are told of them."""

from __future__ import annotations

SILU, GELU_TANH, RELU_SQUARED, GELU, RELU, LIMITED_SILU = range(6)
"""Activations; gates have the first two and, of experts, the last; the first and the last are those of a gate only."""
