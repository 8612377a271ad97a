"""Moves outliers of activations into the weights, where a scale for each row takes them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint, Matrix
from tuibench.engines.decoder.description import Decoder, Layer, Stored
from tuibench.engines.ort.quantise.calibration import Calibration, Channels


@dataclass(frozen=True, slots=True)
class _Fold:
    """A product whose input comes straight from weights that can be divided channel by channel."""

    product: str
    sources: tuple[Stored, ...]
    """Tensors with a channel an output: norm scales and biases, or the rows of a matrix."""
    readers: tuple[Stored, ...]
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
    changes: dict[Stored, Callable[[Matrix], Matrix]] = {}
    divisors: dict[str, Channels] = {}
    graph = "layers" if decoder.rope else "h"  # what its products are named after, whatever the checkpoint calls layers
    folds = (fold for index, layer in enumerate(decoder.layers) for fold in _folds(layer, f"{graph}.{index}"))
    for fold in folds:
        weight = np.max([np.abs(checkpoint.part(stored)).max(axis=0) for stored in fold.readers], axis=0)
        divisor = _divisor(by_product[fold.product], weight, alpha)
        divisors[fold.product] = divisor
        for stored in fold.sources:
            _chain(changes, stored, partial(_divide_rows, by=divisor))
        for stored in fold.readers:
            _chain(changes, stored, partial(_multiply_columns, by=divisor))
    return Smoothing(checkpoint.changed(changes), divisors, largest)


def _divide_rows(tensor: Matrix, by: Channels) -> Matrix:
    return (tensor.T / by).T


def _multiply_columns(tensor: Matrix, by: Channels) -> Matrix:
    return tensor * by


def _chain(
    changes: dict[Stored, Callable[[Matrix], Matrix]], stored: Stored, change: Callable[[Matrix], Matrix]
) -> None:
    """Add a change after those that a tensor has already: a matrix can be read by one fold and divided by the next."""
    earlier = changes.get(stored)
    changes[stored] = change if earlier is None else lambda tensor: change(earlier(tensor))


def _divisor(activation: Channels, weight: Channels, alpha: float) -> Channels:
    raw = np.maximum(activation, 1e-5) ** alpha / np.maximum(weight, 1e-5) ** (1 - alpha)
    # Below 1 a channel would only make the weights coarser.
    return np.maximum(raw / np.median(raw), 1).astype(np.float32)


def _folds(layer: Layer, name: str) -> Iterator[_Fold]:
    weights, gated = layer.weights, layer.feed.gated
    shared = "feed_norm" in weights and weights["feed_norm"] == weights.get("attention_norm")
    if shared:
        norm = (*weights["attention_norm"], *weights.get("attention_norm_bias", ()))
        yield _Fold(f"{name}.qkv", norm, (*weights["qkv"], *weights["mlp_up"]))
    elif "attention_norm" in weights:
        norm = (*weights["attention_norm"], *weights.get("attention_norm_bias", ()))
        product = "qkv" if "qkv" in weights else "conv_in"
        yield _Fold(f"{name}.{product}", norm, weights[product])
    # What experts read stays as it is: the router reads it, too, and nothing shows what is within them.
    if layer.feed.experts is not None:
        return
    if "feed_norm" in weights and not shared:
        norm = (*weights["feed_norm"], *weights.get("feed_norm_bias", ()))
        yield _Fold(f"{name}.{'gate_up' if gated else 'mlp_in'}", norm, weights["mlp_up"])
    if gated:
        # act(gate) * up is linear in up, the last part: its rows may be divided.
        up = (*weights["mlp_up"][-1:], *weights.get("mlp_up_bias", ())[-1:])
        yield _Fold(f"{name}.mlp_out", up, weights["mlp_down"])
