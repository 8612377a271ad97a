"""Activations by number, as the kernels are told of them."""

from __future__ import annotations

SILU, GELU_TANH, RELU_SQUARED, GELU, RELU = range(5)
"""Activations; gates have the first two, and the first is that of a gate only."""
