"""The graph of GPT-2: layer norms with biases, learned positions, no grouping, no gate."""

from __future__ import annotations

from onnx import TensorProto

from tuibench.engines.decoder.checkpoint import Matrix
from tuibench.engines.ort.graph import CONTRIB, Value
from tuibench.engines.ort.layout import Layout, attention, declare_inputs, head


def add_gpt2(layout: Layout) -> None:
    """Add the whole decoder. Biases before a residual sum are added by the norm that follows it."""
    graph, decoder, weights = layout.graph, layout.decoder, layout.checkpoint
    declare_inputs(layout)
    graph.input("positions", TensorProto.INT64, [1, "n_tokens"])
    tokens = layout.embed(weights.embedding)
    table = graph.weight("positions.weight", weights["wpe.weight"])
    update, bias = graph.node("Gather", [table, "positions"], ["embedded_positions"]), None
    residual = tokens
    for index in range(decoder.n_layers):
        prefix = f"h.{index}"
        residual, normed = _skip_norm(layout, f"{prefix}.ln_1", residual, update, bias)
        attended = _attention(layout, index, normed)
        bias = weights[f"{prefix}.attn.c_proj.bias"]
        residual, normed = _skip_norm(layout, f"{prefix}.ln_2", residual, attended, bias)
        update, bias = _feed_forward(layout, prefix, normed), weights[f"{prefix}.mlp.c_proj.bias"]
    kept = layout.kept_positions(residual, update)
    _, normed = _skip_norm(layout, "ln_f", kept[0], kept[1], bias)
    head(layout, normed, weights.head)


def _skip_norm(layout: Layout, name: str, residual: Value, update: Value, bias: Matrix | None) -> tuple[Value, Value]:
    """Return the sum of residual, update and bias, and its norm: one node."""
    graph, weights = layout.graph, layout.checkpoint
    inputs = [
        residual,
        update,
        graph.weight(f"{name}.weight", weights[f"{name}.weight"]),
        graph.weight(f"{name}.bias", weights[f"{name}.bias"]),
    ]
    if bias is not None:
        inputs.append(graph.weight(f"{name}.skip_bias", bias))
    total, epsilon = f"{name}.residual", layout.decoder.norm_epsilon
    outputs = [f"{name}.normed", "", "", total]
    normed = graph.node("SkipLayerNormalization", inputs, outputs, CONTRIB, epsilon=epsilon)
    return total, normed


def _attention(layout: Layout, index: int, x: Value) -> Value:
    weights, prefix = layout.checkpoint, f"h.{index}.attn"
    # transformers' Conv1D keeps its weight as [inputs, outputs].
    packed = layout.project(f"h.{index}.qkv", x, weights[f"{prefix}.c_attn.weight"].T, weights[f"{prefix}.c_attn.bias"])
    attended = attention(layout, index, (packed, "", ""), None)
    return layout.project(f"h.{index}.attention_out", attended, weights[f"{prefix}.c_proj.weight"].T, None)


def _feed_forward(layout: Layout, prefix: str, x: Value) -> Value:
    graph, weights = layout.graph, layout.checkpoint
    opened = layout.project(f"{prefix}.mlp_in", x, weights[f"{prefix}.mlp.c_fc.weight"].T, None)
    bias = graph.weight(f"{prefix}.mlp_in.bias", weights[f"{prefix}.mlp.c_fc.bias"])
    active = graph.node("FastGelu", [opened, bias], [f"{prefix}.active"], CONTRIB)
    return layout.project(f"{prefix}.mlp_out", active, weights[f"{prefix}.mlp.c_proj.weight"].T, None)
