"""The graph of the Llama family: rotary positions, grouped KV heads. Ten nodes a layer.

Relatives have biases (Qwen2), norms on queries and keys (Qwen3), layers without rotation (SmolLM3), layer norms
(StableLM), no gate (StarCoder2, Arcee), norms after (OLMo 2), or both, and caps (Gemma 2), experts (Mixtral), a
feed-forward beside attention (Phi-2), a token that every layer is told again (Gemma 4), or convolutions in
place of attention (LFM2).
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tuibench.engines.decoder.description import Weights
from tuibench.engines.ort.graph.builder import CONTRIB, Value
from tuibench.engines.ort.graph.convolution import add_convolution, declare_convolutions
from tuibench.engines.ort.graph.experts import read_experts
from tuibench.engines.ort.graph.heads import prepared_heads
from tuibench.engines.ort.graph.layer_inputs import add_layer_inputs, end_layer
from tuibench.engines.ort.graph.layout import Layout, attention, declare_inputs, head

_NORMS = {"rms": "SimplifiedLayerNormalization", "layer": "LayerNormalization"}
_SKIP_NORMS = {"rms": "SkipSimplifiedLayerNormalization", "layer": "SkipLayerNormalization"}


def add_llama(layout: Layout) -> None:
    """Add the whole decoder."""
    graph, decoder, weights = layout.graph, layout.decoder, layout.checkpoint
    declare_inputs(layout)
    for prefix in decoder.rotations:
        half = decoder.rotated_head_dim(prefix) // 2
        graph.input(f"{prefix}cos", TensorProto.FLOAT, ["n_positions", half])
        graph.input(f"{prefix}sin", TensorProto.FLOAT, ["n_positions", half])
    if decoder.convolving or any(each.norm_after_rotation for each in decoder.attentions.values()):
        graph.input("positions", TensorProto.INT64, ["n_rows", "n_tokens"])
    declare_convolutions(layout)
    norms_after = "attention_out_norm" in decoder.layers[0].weights
    through = _norms_after if norms_after else _side_by_side if decoder.parallel else _norms_before
    embedded = layout.embed()
    add_layer_inputs(layout, embedded)
    normed = through(layout, embedded)
    head(layout, normed, weights.head)


def _norms_before(layout: Layout, residual: Value) -> Value:
    """Add the layers; return the norm of what they leave. A sum and the norm that reads it are one node."""
    graph, decoder = layout.graph, layout.decoder
    normed = graph.node(
        _NORMS[decoder.norm],
        [residual, *_norm(layout, "layers.0.input_norm", decoder.layers[0].weights, "attention_norm")],
        ["layers.0.normed"],
        epsilon=decoder.norm_epsilon,
        axis=-1,
    )
    for index in range(decoder.n_layers):
        prefix = f"layers.{index}"
        attended = _attention(layout, index, normed)
        norm = _norm(layout, f"{prefix}.mlp.norm", decoder.layers[index].weights, "feed_norm")
        residual, normed = _skip_norm(layout, f"{prefix}.mlp", residual, attended, norm)
        fed = _feed_forward(layout, index, normed)
        if index + 1 < decoder.n_layers:
            following = f"layers.{index + 1}.attention"
            norm = _norm(layout, f"{following}.norm", decoder.layers[index + 1].weights, "attention_norm")
            residual, normed = _skip_norm(layout, following, residual, fed, norm)
    kept = layout.kept_positions(residual, fed)
    return graph.node(
        _SKIP_NORMS[decoder.norm],
        [*kept, *_norm(layout, "final_norm", decoder.weights, "final_norm")],
        ["final"],
        CONTRIB,
        epsilon=decoder.norm_epsilon,
    )


def _norms_after(layout: Layout, residual: Value) -> Value:
    """Add layers that normalise what they add; return the norm of what they leave.

    Where they normalise what they read, too, a sum and the norm that reads it are one node.
    """
    graph, decoder = layout.graph, layout.decoder

    def normed(name: str, x: Value, weights: Weights, role: str) -> Value:
        norm = _norm(layout, f"{name}.norm", weights, role)
        return graph.node(_NORMS[decoder.norm], [x, *norm], [name], epsilon=decoder.norm_epsilon, axis=-1)

    def added(name: str, residual: Value, update: Value, weights: Weights, role: str) -> tuple[Value, Value]:
        """Return the sum, and what the next product reads of it."""
        if role in weights:
            return _skip_norm(layout, name, residual, update, _norm(layout, f"{name}.read_norm", weights, role))
        total = graph.node("Add", [residual, update], [f"{name}.residual"])
        return total, total

    first = decoder.layers[0].weights
    read = normed("layers.0.read", residual, first, "attention_norm") if "attention_norm" in first else residual
    for index, layer in enumerate(decoder.layers):
        attended, fed = f"{layer.name}.attention", f"{layer.name}.mlp"
        update = normed(attended, _attention(layout, index, read), layer.weights, "attention_out_norm")
        residual, read = added(attended, residual, update, layer.weights, "feed_norm")
        update = normed(fed, _feed_forward(layout, index, read), layer.weights, "mlp_down_norm")
        following = decoder.layers[index + 1].weights if index + 1 < decoder.n_layers else {}
        if "layer_scale" not in layer.weights:
            residual, read = added(fed, residual, update, following, "attention_norm")
            continue
        total = graph.node("Add", [residual, update], [f"{fed}.residual"])
        residual = read = end_layer(layout, index, total)
        if "attention_norm" in following:
            read = normed(f"layers.{index + 1}.read", residual, following, "attention_norm")
    (kept,) = layout.kept_positions(residual)
    return normed("final", kept, decoder.weights, "final_norm")


def _side_by_side(layout: Layout, residual: Value) -> Value:
    """Add the layers whose attention and feed-forward read the same; return the norm of what they leave."""
    graph, decoder = layout.graph, layout.decoder
    norm = _norm(layout, "layers.0.attention.norm", decoder.layers[0].weights, "attention_norm")
    normed = _normed(layout, "layers.0.attention.normed", residual, norm)
    for index, layer in enumerate(decoder.layers):
        prefix = f"layers.{index}"
        attended, read = _attention(layout, index, normed), normed
        if layer.weights["feed_norm"] != layer.weights["attention_norm"]:
            norm = _norm(layout, f"{prefix}.mlp.norm", layer.weights, "feed_norm")
            read = _normed(layout, f"{prefix}.mlp.normed", residual, norm)
        fed = _feed_forward(layout, index, read)
        residual = graph.node("Add", [residual, attended], [f"{prefix}.with_attention"])
        if index + 1 < decoder.n_layers:
            following = f"layers.{index + 1}.attention"
            norm = _norm(layout, f"{following}.norm", decoder.layers[index + 1].weights, "attention_norm")
            residual, normed = _skip_norm(layout, following, residual, fed, norm)
    kept_residual, kept_fed = layout.kept_positions(residual, fed)
    norm = _norm(layout, "final_norm", decoder.weights, "final_norm")
    return _skip_norm(layout, "final", kept_residual, kept_fed, norm)[1]


def _normed(layout: Layout, name: str, x: Value, norm: list[Value]) -> Value:
    decoder = layout.decoder
    return layout.graph.node(_NORMS[decoder.norm], [x, *norm], [name], axis=-1, epsilon=decoder.norm_epsilon)


def _norm(layout: Layout, name: str, weights: Weights, role: str) -> list[Value]:
    """Return the scale of a norm and, where it has one, its bias."""
    scale, bias = layout.checkpoint.matrix(weights, role), layout.checkpoint.get(weights, f"{role}_bias")
    stored = [layout.graph.weight(name, scale)]
    return stored if bias is None else [*stored, layout.graph.weight(f"{name}.bias", bias)]


def _skip_norm(layout: Layout, name: str, residual: Value, update: Value, norm: list[Value]) -> tuple[Value, Value]:
    """Return the sum of the two and its norm: one node."""
    total = f"{name}.residual"
    normed = layout.graph.node(
        _SKIP_NORMS[layout.decoder.norm],
        [residual, update, *norm],
        [f"{name}.normed", "", "", total],
        CONTRIB,
        epsilon=layout.decoder.norm_epsilon,
    )
    return total, normed


def _attention(layout: Layout, index: int, x: Value) -> Value:
    """Add attention, or what a layer has in its place."""
    if index in layout.decoder.convolving:
        return add_convolution(layout, index, x)
    packed = layout.project(f"layers.{index}.qkv", x, layout.read(index, "qkv"), layout.read_any(index, "qkv_bias"))
    described = layout.decoder.layers[index].attention
    qkv = (packed, "", "") if described.qk_norm is None else prepared_heads(layout, index, packed)
    prefix = None if described.norm_after_rotation else layout.decoder.rotation_of(described)
    attended = attention(layout, index, qkv, None if prefix is None else (f"{prefix}cos", f"{prefix}sin"))
    weight, bias = layout.read(index, "attention_out"), layout.read_any(index, "attention_out_bias")
    return layout.project(f"layers.{index}.attention_out", attended, weight, bias)


def _feed_forward(layout: Layout, index: int, x: Value) -> Value:
    if layout.decoder.layers[index].feed.experts is not None:
        return _routed(layout, index, x)
    prefix, gated = f"layers.{index}", layout.decoder.layers[index].feed.gated
    weight, bias = layout.read(index, "mlp_up"), layout.read_any(index, "mlp_up_bias")
    opened = layout.project(f"{prefix}.{'gate_up' if gated else 'mlp_in'}", x, weight, bias)
    hidden = _gated(layout, index, opened) if gated else _active(layout, index, opened)
    weight, bias = layout.read(index, "mlp_down"), layout.read_any(index, "mlp_down_bias")
    return layout.project(f"{prefix}.mlp_out", hidden, weight, bias)


def _routed(layout: Layout, index: int, x: Value) -> Value:
    """Add the router and the experts. The router stays in FP32: a token that goes elsewhere is another model's."""
    graph, feed, prefix = layout.graph, layout.decoder.layers[index].feed, f"layers.{index}"
    tokens = graph.weight("by_token", np.array([-1, layout.decoder.hidden], np.int64))
    flat = graph.node("Reshape", [x, tokens], [f"{prefix}.flat"])
    router, bias = layout.read(index, "router"), layout.read_any(index, "router_bias")
    layout.tally.add("FP32", router, router.nbytes, quantised=False)
    factors = [graph.weight(f"{prefix}.router.weight", router)]
    if bias is not None:
        factors.append(graph.weight(f"{prefix}.router.bias", bias))
    logits = graph.node("Gemm", [flat, *factors], [f"{prefix}.router"], transB=1)
    weights = read_experts(layout.checkpoint, layout.decoder.layers[index])
    return layout.experts(graph, layout.tally, f"{prefix}.experts", (x, logits), weights, feed)


def _active(layout: Layout, index: int, x: Value) -> Value:
    graph, active = layout.graph, f"layers.{index}.active"
    match layout.decoder.layers[index].feed.activation:
        case "gelu_tanh":
            return graph.node("FastGelu", [x], [active], CONTRIB)
        case "gelu":
            return graph.node("Gelu", [x], [active], CONTRIB)
        case "relu":
            return graph.node("Relu", [x], [active])
    positive = graph.node("Relu", [x], [f"layers.{index}.positive"])
    return graph.node("Mul", [positive, positive], [active])


def _gated(layout: Layout, index: int, gate_up: Value) -> Value:
    graph, prefix = layout.graph, f"layers.{index}"
    gate, up = f"{prefix}.gate", f"{prefix}.up"
    graph.node("Split", [gate_up], [gate, up], axis=-1, num_outputs=2)
    if layout.decoder.layers[index].feed.activation == "silu":
        # QuickGelu with alpha 1 is SiLU.
        active = graph.node("QuickGelu", [gate], [f"{prefix}.active"], CONTRIB, alpha=1.0)
    else:
        active = _active(layout, index, gate)
    return graph.node("Mul", [active, up], [f"{prefix}.gated"])
