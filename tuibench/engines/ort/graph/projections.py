"""How a matrix product of the model is computed: the one thing in which the precisions differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.ort.graph.builder import CONTRIB, GraphBuilder, Value
from tuibench.engines.ort.quantise.blockwise import BlockwiseWeight, pick_block_size, quantise_blockwise

Matrix = NDArray[np.float32]
ACCURACY_INT8 = 4
"""`MatMulNBits`' level that computes in INT8; any other makes 8-bit weights FP32 again at every call."""


@dataclass(slots=True)
class WeightTally:
    """What was written, for the facts of the method."""

    quantised: int = 0
    unquantised: int = 0
    """Weights of matrix products; norms and biases are not counted."""
    read_bytes: int = 0
    """Bytes of weights that one decoded token has to read."""
    operators: dict[str, int] = field(default_factory=dict)
    """Matrix products by the way they are computed."""

    def add(self, kind: str, weight: Matrix, read_bytes: int, *, quantised: bool) -> None:
        """Count one matrix product."""
        self.operators[kind] = self.operators.get(kind, 0) + 1
        self.read_bytes += read_bytes
        if quantised:
            self.quantised += weight.size
        else:
            self.unquantised += weight.size


class Projection(Protocol):
    """A way to compute `x · weightᵀ + bias`."""

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, x: Value, weight: Matrix, bias: Matrix | None
    ) -> Value:
        """Add the product to the graph.

        Args:
            graph: Where.
            tally: Is told of it.
            name: Of the output; weights are named after it.
            x: `[…, columns]`.
            weight: `[rows, columns]`; one row for each output.
            bias: `[rows]`.
        """


class Fp32Projection:
    """`MatMul`, and `Add` where there is a bias."""

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, x: Value, weight: Matrix, bias: Matrix | None
    ) -> Value:
        tally.add("FP32", weight, weight.size * 4, quantised=False)
        stored = graph.weight(f"{name}.weight", weight.T)
        if bias is None:
            return graph.node("MatMul", [x, stored], [name])
        product = graph.node("MatMul", [x, stored], [f"{name}.product"])
        return graph.node("Add", [product, graph.weight(f"{name}.bias", bias)], [name])


@dataclass(frozen=True, slots=True)
class StaticProjection:
    """`MatMul` between `DequantizeLinear`s, which ONNX Runtime turns into one product of integers.

    Only inputs are quantised: rounding the outputs as well would cost accuracy and save nothing.
    """

    largest: float
    """Magnitude of the input that the outermost level stands for; beyond it, values are cut off."""

    @property
    def step(self) -> float:
        """Distance of two levels."""
        return max(self.largest, 1e-12) / 127

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, x: Value, weight: Matrix, bias: Matrix | None
    ) -> Value:
        scales = np.abs(weight).max(axis=1) / 127
        scales = np.where(scales == 0, 1, scales).astype(np.float32)
        levels = np.rint(weight / scales[:, None]).astype(np.int8)
        tally.add("INT8 QDQ", weight, levels.nbytes + scales.nbytes, quantised=True)
        step = graph.weight(f"{name}.input_scale", np.array(self.step, np.float32))
        zero = graph.weight("activation_zero", np.array(128, np.uint8))
        scale = graph.weight(f"{name}.scales", scales)
        # One for each product: without VNNI, ONNX Runtime moves weights and zero points to unsigned, shared ones twice.
        no_offset = graph.weight(f"{name}.zero_points", np.zeros(len(scales), np.int8))
        rounded = graph.node("QuantizeLinear", [x, step, zero], [f"{name}.rounded"])
        left = graph.node("DequantizeLinear", [rounded, step, zero], [f"{name}.input"])
        stored = [graph.weight(f"{name}.weight", levels.T), scale, no_offset]
        right = graph.node("DequantizeLinear", stored, [f"{name}.matrix"], axis=1)
        if bias is None:
            return graph.node("MatMul", [left, right], [name])
        product = graph.node("MatMul", [left, right], [f"{name}.product"])
        return graph.node("Add", [product, graph.weight(f"{name}.bias", bias)], [name])


@dataclass(frozen=True, slots=True)
class BlockwiseProjection:
    """`MatMulNBits`: weights in blocks, activations quantised to INT8 block by block as they come."""

    bits: int
    largest_block: int
    symmetric: bool = True

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, x: Value, weight: Matrix, bias: Matrix | None
    ) -> Value:
        block = pick_block_size(weight.shape[1], self.largest_block)
        quantised = quantise_blockwise(weight, self.bits, block, symmetric=self.symmetric)
        return add_blockwise(graph, tally, name, x, quantised, weight, bias)


def add_blockwise(
    graph: GraphBuilder,
    tally: WeightTally,
    name: str,
    x: Value,
    quantised: BlockwiseWeight,
    weight: Matrix,
    bias: Matrix | None,
) -> Value:
    """Add a product with a matrix that is quantised already; arguments as `Projection`'s."""
    tally.add(f"INT{quantised.bits} block {quantised.block_size}", weight, quantised.nbytes, quantised=True)
    zero_points = quantised.zero_points
    inputs = [
        x,
        graph.weight(f"{name}.weight", quantised.packed),
        graph.weight(f"{name}.scales", quantised.scales),
        "" if zero_points is None else graph.weight(f"{name}.zero_points", zero_points),
        "",
        "" if bias is None else graph.weight(f"{name}.bias", bias),
    ]
    while inputs[-1] == "":
        inputs.pop()
    n_rows, n_columns = weight.shape
    return graph.node(
        "MatMulNBits",
        inputs,
        [name],
        CONTRIB,
        K=n_columns,
        N=n_rows,
        bits=quantised.bits,
        block_size=quantised.block_size,
        accuracy_level=ACCURACY_INT8,
    )
