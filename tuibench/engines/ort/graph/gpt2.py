"""The graph of GPT-2 and OPT: layer norms with biases, learned positions, no grouping, no gate."""

from __future__ import annotations

from onnx import TensorProto

from tuibench.engines.decoder.checkpoint import Matrix
from tuibench.engines.decoder.description import Weights
from tuibench.engines.ort.graph.builder import CONTRIB, Value
from tuibench.engines.ort.graph.layout import Layout, attention, declare_inputs, head


def add_gpt2(layout: Layout) -> None:
    """Add the whole decoder. Biases before a residual sum are added by the norm that follows it."""
    graph, decoder, weights = layout.graph, layout.decoder, layout.checkpoint
    declare_inputs(layout)
    graph.input("positions", TensorProto.INT64, ["n_rows", "n_tokens"])
    tokens = layout.embed()
    table = graph.weight("positions.weight", weights.matrix(decoder.weights, "positions"))
    update, bias = graph.node("Gather", [table, "positions"], ["embedded_positions"]), None
    residual = tokens
    for index, layer in enumerate(decoder.layers):
        before, between = _norm(layout, layer.weights, "attention_norm"), _norm(layout, layer.weights, "feed_norm")
        residual, normed = _skip_norm(layout, f"h.{index}.ln_1", residual, update, bias, before)
        attended = _attention(layout, index, normed)
        bias = layout.read(index, "attention_out_bias")
        residual, normed = _skip_norm(layout, f"h.{index}.ln_2", residual, attended, bias, between)
        update, bias = _feed_forward(layout, index, normed), layout.read(index, "mlp_down_bias")
    kept = layout.kept_positions(residual, update)
    _, normed = _skip_norm(layout, "ln_f", kept[0], kept[1], bias, _norm(layout, decoder.weights, "final_norm"))
    head(layout, normed, weights.head)


def _norm(layout: Layout, weights: Weights, role: str) -> tuple[Matrix, Matrix]:
    return layout.checkpoint.matrix(weights, role), layout.checkpoint.matrix(weights, f"{role}_bias")


def _skip_norm(
    layout: Layout, name: str, residual: Value, update: Value, bias: Matrix | None, norm: tuple[Matrix, Matrix]
) -> tuple[Value, Value]:
    """Return the sum of residual, update and bias, and its norm: one node."""
    graph, (scale, shift) = layout.graph, norm
    inputs = [residual, update, graph.weight(f"{name}.weight", scale), graph.weight(f"{name}.bias", shift)]
    if bias is not None:
        inputs.append(graph.weight(f"{name}.skip_bias", bias))
    total, epsilon = f"{name}.residual", layout.decoder.norm_epsilon
    outputs = [f"{name}.normed", "", "", total]
    normed = graph.node("SkipLayerNormalization", inputs, outputs, CONTRIB, epsilon=epsilon)
    return total, normed


def _attention(layout: Layout, index: int, x: Value) -> Value:
    packed = layout.project(f"h.{index}.qkv", x, layout.read(index, "qkv"), layout.read(index, "qkv_bias"))
    attended = attention(layout, index, (packed, "", ""), None)
    return layout.project(f"h.{index}.attention_out", attended, layout.read(index, "attention_out"), None)


def _feed_forward(layout: Layout, index: int, x: Value) -> Value:
    graph, prefix = layout.graph, f"h.{index}"
    opened = layout.project(f"{prefix}.mlp_in", x, layout.read(index, "mlp_up"), None)
    bias = graph.weight(f"{prefix}.mlp_in.bias", layout.read(index, "mlp_up_bias"))
    if layout.decoder.layers[index].feed.activation == "relu":
        shifted = graph.node("Add", [opened, bias], [f"{prefix}.shifted"])
        active = graph.node("Relu", [shifted], [f"{prefix}.active"])
    else:
        active = graph.node("FastGelu", [opened, bias], [f"{prefix}.active"], CONTRIB)
    return layout.project(f"{prefix}.mlp_out", active, layout.read(index, "mlp_down"), None)
