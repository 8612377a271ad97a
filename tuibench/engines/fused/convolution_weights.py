"""What short convolutions have of weights between their two products; see `convolutions`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Decoder


class Convolutions(NamedTuple):
    """Of the layers that have one in place of attention, in their order; there may be none."""

    kernels: NDArray[np.float32]
    """`[convolutions, width, hidden]`, that of the position itself last."""
    biases: NDArray[np.float32]
    """`[convolutions, hidden]`, or no columns."""


def new_convolutions(decoder: Decoder, weights: Checkpoint) -> Convolutions:
    """Return those of a model."""
    layers = [decoder.layers[index].weights for index in decoder.convolving]
    width = max((each.width for each in decoder.convolving.values()), default=1)
    kernels = np.zeros((len(layers), width, decoder.hidden), np.float32)
    found = [weights.get(layer, "conv_kernel_bias") for layer in layers]
    biases = [bias for bias in found if bias is not None]
    for place, layer in enumerate(layers):
        kernels[place] = weights.part(layer["conv_kernel"][0])[:, 0].T
    return Convolutions(kernels, np.stack(biases) if biases else np.zeros((len(layers), 0), np.float32))


def toy_convolutions(hidden: int) -> Convolutions:
    """Return one of almost no size, see `model.toy_model`."""
    return Convolutions(np.zeros((1, 1, hidden), np.float32), np.zeros((1, hidden), np.float32))
