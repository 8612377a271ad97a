"""Moves outliers of activations into the weights, where a scale for each row takes them in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint, Matrix
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.ort.calibration import Calibration, Channels


@dataclass(frozen=True, slots=True)
class _Fold:
    """A product whose input comes straight from weights that can be divided channel by channel."""

    product: str
    sources: tuple[str, ...]
    """Tensors whose first axis is the channel: norm scales and biases, or the rows of a matrix."""
    readers: tuple[str, ...]
    """Matrices that read the channels."""


@dataclass(frozen=True, slots=True)
class Smoothing:
    """What was found on a text, and what it did to the weights."""

    checkpoint: Checkpoint
    """The weights that take the outliers over."""
    divisors: dict[str, Channels]
    """For each smoothed product, what its input's channels are divided by."""
    largest: dict[str, Channels]
    """For each value, the largest magnitude of each channel before that."""


def smooth(
    calibration: Calibration, checkpoint: Checkpoint, decoder: Decoder, alpha: float, progress: Progress
) -> Smoothing:
    """Read the text once, and move the outliers of the activations into the weights.

    Args:
        calibration: The text and the graph.
        checkpoint: The weights.
        decoder: The model.
        alpha: How much of the outliers moves; 0 moves nothing.
        progress: Told how much of the text was read.
    """
    largest = calibration.largest_by_channel(progress)
    if alpha == 0:
        return Smoothing(checkpoint, {}, largest)
    by_product = {product: largest[value] for product, value in calibration.inputs.items()}
    column_axis = 0 if decoder.family == "llama" else 1  # Conv1D is stored [inputs, outputs]
    changes: dict[str, Callable[[Matrix], Matrix]] = {}
    divisors: dict[str, Channels] = {}
    for fold in _folds(decoder):
        if not all(name in checkpoint for name in fold.readers):
            continue
        weight = np.max([np.abs(checkpoint[name]).max(axis=column_axis) for name in fold.readers], axis=0)
        divisor = _divisor(by_product[fold.product], weight, alpha)
        divisors[fold.product] = divisor
        for name in fold.sources:
            _chain(changes, name, partial(_divide_first_axis, by=divisor))
        multiply = _multiply_columns if decoder.family == "llama" else _multiply_first_axis
        for name in fold.readers:
            _chain(changes, name, partial(multiply, by=divisor))
    return Smoothing(checkpoint.changed(changes), divisors, largest)


def _divide_first_axis(tensor: Matrix, by: Channels) -> Matrix:
    return (tensor.T / by).T


def _multiply_first_axis(tensor: Matrix, by: Channels) -> Matrix:
    return (tensor.T * by).T


def _multiply_columns(tensor: Matrix, by: Channels) -> Matrix:
    return tensor * by


def _chain(changes: dict[str, Callable[[Matrix], Matrix]], name: str, change: Callable[[Matrix], Matrix]) -> None:
    """Add a change after those that a tensor has already: a matrix can be read by one fold and divided by the next."""
    earlier = changes.get(name)
    changes[name] = change if earlier is None else lambda tensor: change(earlier(tensor))


def _divisor(activation: Channels, weight: Channels, alpha: float) -> Channels:
    raw = np.maximum(activation, 1e-5) ** alpha / np.maximum(weight, 1e-5) ** (1 - alpha)
    # Below 1 a channel would only make the weights coarser.
    return np.maximum(raw / np.median(raw), 1).astype(np.float32)


def _folds(decoder: Decoder) -> list[_Fold]:
    make = _llama_folds if decoder.family == "llama" else _gpt2_folds
    return [fold for index in range(decoder.n_layers) for fold in make(index)]


def _llama_folds(index: int) -> list[_Fold]:
    layer = f"layers.{index}"
    attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
    return [
        _Fold(
            f"{layer}.qkv",
            (f"{layer}.input_layernorm.weight",),
            tuple(f"{attention}.{part}_proj.weight" for part in "qkv"),
        ),
        _Fold(
            f"{layer}.gate_up",
            (f"{layer}.post_attention_layernorm.weight",),
            (f"{mlp}.gate_proj.weight", f"{mlp}.up_proj.weight"),
        ),
        # silu(gate) * up is linear in up: its rows may be divided.
        _Fold(f"{layer}.mlp_out", (f"{mlp}.up_proj.weight", f"{mlp}.up_proj.bias"), (f"{mlp}.down_proj.weight",)),
    ]


def _gpt2_folds(index: int) -> list[_Fold]:
    layer = f"h.{index}"
    return [
        _Fold(f"{layer}.qkv", (f"{layer}.ln_1.weight", f"{layer}.ln_1.bias"), (f"{layer}.attn.c_attn.weight",)),
        _Fold(f"{layer}.mlp_in", (f"{layer}.ln_2.weight", f"{layer}.ln_2.bias"), (f"{layer}.mlp.c_fc.weight",)),
    ]
