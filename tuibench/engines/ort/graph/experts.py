"""Experts of a feed-forward as one operator, which reads those that its tokens go to; a router before it.

`MoE` and `QMoE` take the router's logits, pick, weigh, and run the picked experts. What they take as SwiGLU has gates
and up projections in turns. Per byte that is read they are as fast as `MatMul` and `MatMulNBits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Feed, Layer, Stored
from tuibench.engines.ort.graph.builder import CONTRIB, GraphBuilder, Value
from tuibench.engines.ort.graph.projections import ACCURACY_INT8, Matrix, WeightTally
from tuibench.engines.ort.quantise.blockwise import quantise_blockwise

_SMALLEST_BLOCK = 16
_UNPACKED = 0
"""`QMoE` gets rows as `MatMulNBits` does, and rearranges them itself."""


@dataclass(frozen=True, slots=True)
class ExpertWeights:
    """Those of all experts of a layer."""

    up: Matrix
    """`[experts, 2 · width, hidden]`: gates and up projections in turns."""
    up_bias: Matrix | None
    down: Matrix
    """`[experts, hidden, width]`"""
    down_bias: Matrix | None

    @property
    def biases(self) -> list[Matrix | None]:
        """Of both products."""
        return [self.up_bias, self.down_bias]


def read_experts(checkpoint: Checkpoint, layer: Layer) -> ExpertWeights:
    """Return the weights of a layer's experts."""
    weights = layer.weights
    up_bias = _in_turns(checkpoint, weights["mlp_up_bias"]) if "mlp_up_bias" in weights else None
    down_bias = np.stack(checkpoint.parts(weights, "mlp_down_bias")) if "mlp_down_bias" in weights else None
    down = np.stack(checkpoint.parts(weights, "mlp_down"))
    return ExpertWeights(_in_turns(checkpoint, weights["mlp_up"]), up_bias, down, down_bias)


def _in_turns(checkpoint: Checkpoint, gates_and_ups: tuple[Stored, ...]) -> Matrix:
    """Return `[experts, 2 · width, …]` of a gate and an up projection for each expert."""
    first = checkpoint.part(gates_and_ups[0])
    turns = np.empty((len(gates_and_ups) // 2, len(first), 2, *first.shape[1:]), np.float32)
    for index, stored in enumerate(gates_and_ups):
        turns[index // 2, :, index % 2] = checkpoint.part(stored)
    return turns.reshape(len(turns), 2 * len(first), *first.shape[1:])


class ExpertsOperator(Protocol):
    """A way to compute the experts of a feed-forward."""

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, inputs: tuple[Value, Value], weights: ExpertWeights,
        feed: Feed,
    ) -> Value:  # fmt: skip
        """Add the operator to the graph.

        Args:
            graph: Where.
            tally: Is told of it.
            name: Of the output; weights are named after it.
            inputs: `[rows, tokens, hidden]`, and the router's logits, `[rows · tokens, experts]`.
            weights: Of the experts.
            feed: What they are.
        """


class Fp32Experts:
    """`MoE`."""

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, inputs: tuple[Value, Value], weights: ExpertWeights,
        feed: Feed,
    ) -> Value:  # fmt: skip
        parts: list[Value] = []
        for role, matrix, bias in zip(("up", "down"), (weights.up, weights.down), weights.biases, strict=True):
            tally.add("FP32 experts", matrix, _active(matrix.nbytes, feed), quantised=False)
            parts += [
                graph.weight(f"{name}.{role}", matrix),
                "" if bias is None else graph.weight(f"{name}.{role}_bias", bias),
            ]
        return graph.node("MoE", _without_end([*inputs, *parts]), [name], CONTRIB, **_attributes(feed))


@dataclass(frozen=True, slots=True)
class BlockwiseExperts:
    """`QMoE`: weights rounded to the nearest in blocks, activations quantised to INT8 as they come."""

    bits: int
    largest_block: int

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, inputs: tuple[Value, Value], weights: ExpertWeights,
        feed: Feed,
    ) -> Value:  # fmt: skip
        block = self._block_size(weights)
        parts: list[Value] = []
        for role, matrix, bias in zip(("up", "down"), (weights.up, weights.down), weights.biases, strict=True):
            packed, scales = self._quantised(matrix, block or matrix.shape[-1])
            kind = f"INT{self.bits} experts block {block or 'a row'}"
            tally.add(kind, matrix, _active(packed.nbytes + scales.nbytes, feed), quantised=True)
            parts += [
                graph.weight(f"{name}.{role}", packed),
                graph.weight(f"{name}.{role}_scales", scales if block else scales[..., 0]),
                "" if bias is None else graph.weight(f"{name}.{role}_bias", bias),
            ]
        return graph.node(
            "QMoE",
            _without_end([*inputs, *parts]),
            [name],
            CONTRIB,
            expert_weight_bits=self.bits,
            accuracy_level=ACCURACY_INT8,
            weights_prepacked=_UNPACKED,
            **({"block_size": block} if block else {}),
            **_attributes(feed),
        )

    def _block_size(self, weights: ExpertWeights) -> int | None:
        """Return the largest block that cuts the rows of both products; None where rows are not cut."""
        block = gcd(self.largest_block, weights.up.shape[-1], weights.down.shape[-1])
        return block if block >= _SMALLEST_BLOCK else None

    def _quantised(self, matrices: Matrix, block: int) -> tuple[NDArray[np.uint8], Matrix]:
        """Return `[experts, rows, bytes]` and `[experts, rows, blocks]`."""
        each = [quantise_blockwise(matrix, self.bits, block) for matrix in matrices]
        packed = np.stack([one.packed.reshape(len(one.packed), -1) for one in each])
        return packed, np.stack([one.scales for one in each])


def _active(n_bytes: int, feed: Feed) -> int:
    """Return what a token reads of the bytes of all experts."""
    assert feed.experts is not None  # noqa: S101 - only such a feed-forward gets here
    return n_bytes // feed.experts.n_experts * feed.experts.n_active


def _attributes(feed: Feed) -> dict[str, float | str]:
    experts = feed.experts
    assert experts is not None  # noqa: S101 - only such a feed-forward gets here
    return {
        "activation_type": "swiglu",
        "swiglu_fusion": 1,
        "activation_alpha": experts.slope,
        "activation_beta": experts.offset,
        "k": experts.n_active,
        "normalize_routing_weights": int(experts.normalised),
        **({} if experts.limit is None else {"swiglu_limit": experts.limit}),
    }


def _without_end(inputs: list[Value]) -> list[Value]:
    """Return the inputs without those at the end that are left out."""
    while inputs[-1] == "":
        inputs = inputs[:-1]
    return inputs
