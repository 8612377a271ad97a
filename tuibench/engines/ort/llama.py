"""The graph of the Llama family: RMS norms, rotary positions, grouped KV heads, gated feed-forward.

Llama, SmolLM2, Mistral, Qwen2 (biases) and Qwen3 (norms on queries and keys). Ten nodes a layer.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tuibench.engines.decoder.checkpoint import Checkpoint, Matrix
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.ort.graph import CONTRIB, GraphBuilder, Value
from tuibench.engines.ort.layout import Layout, attention, declare_inputs, head


def add_llama(layout: Layout) -> None:
    """Add the whole decoder."""
    graph, decoder, weights = layout.graph, layout.decoder, layout.checkpoint
    declare_inputs(layout)
    half = decoder.head_dim // 2
    graph.input("cos", TensorProto.FLOAT, ["n_positions", half])
    graph.input("sin", TensorProto.FLOAT, ["n_positions", half])
    residual = layout.embed(weights.embedding)
    normed = graph.node(
        "SimplifiedLayerNormalization",
        [residual, graph.weight("layers.0.input_norm", weights["layers.0.input_layernorm.weight"])],
        ["layers.0.normed"],
        epsilon=decoder.norm_epsilon,
        axis=-1,
    )
    for index in range(decoder.n_layers):
        prefix = f"layers.{index}"
        attended = _attention(layout, index, normed)
        residual, normed = _skip_norm(
            layout, f"{prefix}.mlp", residual, attended, weights[f"{prefix}.post_attention_layernorm.weight"]
        )
        fed = _feed_forward(layout, prefix, normed)
        if index + 1 < decoder.n_layers:
            scale = weights[f"layers.{index + 1}.input_layernorm.weight"]
            residual, normed = _skip_norm(layout, f"layers.{index + 1}.attention", residual, fed, scale)
    kept = layout.kept_positions(residual, fed)
    normed = graph.node(
        "SkipSimplifiedLayerNormalization",
        [*kept, graph.weight("final_norm", weights["norm.weight"])],
        ["final"],
        CONTRIB,
        epsilon=decoder.norm_epsilon,
    )
    head(layout, normed, weights.head)


def _skip_norm(layout: Layout, name: str, residual: Value, update: Value, scale: Matrix) -> tuple[Value, Value]:
    """Return the sum of the two and its norm: one node."""
    total = f"{name}.residual"
    normed = layout.graph.node(
        "SkipSimplifiedLayerNormalization",
        [residual, update, layout.graph.weight(f"{name}.norm", scale)],
        [f"{name}.normed", "", "", total],
        CONTRIB,
        epsilon=layout.decoder.norm_epsilon,
    )
    return total, normed


def _attention(layout: Layout, index: int, x: Value) -> Value:
    weights, prefix = layout.checkpoint, f"layers.{index}.self_attn"
    names = [f"{prefix}.{part}_proj" for part in ("q", "k", "v")]
    weight = np.concatenate([weights[f"{name}.weight"] for name in names])
    packed = layout.project(f"layers.{index}.qkv", x, weight, _packed_bias(weights, names))
    qkv = _normalised_heads(layout, index, packed) if layout.decoder.qk_norm else (packed, "", "")
    attended = attention(layout, index, qkv, ("cos", "sin"))
    return layout.project(
        f"layers.{index}.attention_out",
        attended,
        weights[f"{prefix}.o_proj.weight"],
        weights.get(f"{prefix}.o_proj.bias"),
    )


def _packed_bias(weights: Checkpoint, names: list[str]) -> Matrix | None:
    biases = [weights.get(f"{name}.bias") for name in names]
    present = [bias for bias in biases if bias is not None]
    return np.concatenate(present) if len(present) == len(names) else None


def _normalised_heads(layout: Layout, index: int, packed: Value) -> tuple[Value, Value, Value]:
    """Split queries, keys and values, and normalise each head of the first two."""
    graph, decoder, prefix = layout.graph, layout.decoder, f"layers.{index}"
    query, key = decoder.n_heads * decoder.head_dim, decoder.n_kv_heads * decoder.head_dim
    parts = [f"{prefix}.query", f"{prefix}.key", f"{prefix}.value"]
    sizes = graph.weight("qkv_sizes", np.array([query, key, key], np.int64))
    graph.node("Split", [packed, sizes], parts, axis=-1)
    scales = [layout.checkpoint[f"{prefix}.self_attn.{name}_norm.weight"] for name in ("q", "k")]
    normed = [
        _normalise_heads(graph, part, scale, decoder, width)
        for part, scale, width in zip(parts, scales, (query, key), strict=False)
    ]
    return normed[0], normed[1], parts[2]


def _normalise_heads(graph: GraphBuilder, x: Value, scale: Matrix, decoder: Decoder, width: int) -> Value:
    by_head = graph.weight("by_head", np.array([0, 0, -1, decoder.head_dim], np.int64))
    flat = graph.weight(f"flat_{width}", np.array([0, 0, width], np.int64))
    heads = graph.node("Reshape", [x, by_head], [f"{x}.heads"])
    stored = graph.weight(f"{x}.norm", scale)
    normed = graph.node(
        "SimplifiedLayerNormalization", [heads, stored], [f"{x}.normed"], axis=-1, epsilon=decoder.norm_epsilon
    )
    return graph.node("Reshape", [normed, flat], [f"{x}.flat"])


def _feed_forward(layout: Layout, prefix: str, x: Value) -> Value:
    graph, weights = layout.graph, layout.checkpoint
    names = [f"{prefix}.mlp.{part}_proj" for part in ("gate", "up")]
    weight = np.concatenate([weights[f"{name}.weight"] for name in names])
    packed = layout.project(f"{prefix}.gate_up", x, weight, _packed_bias(weights, names))
    gate, up = f"{prefix}.gate", f"{prefix}.up"
    graph.node("Split", [packed], [gate, up], axis=-1, num_outputs=2)
    # QuickGelu with alpha 1 is SiLU.
    active = graph.node("QuickGelu", [gate], [f"{prefix}.active"], CONTRIB, alpha=1.0)
    gated = graph.node("Mul", [active, up], [f"{prefix}.gated"])
    return layout.project(
        f"{prefix}.mlp_out",
        gated,
        weights[f"{prefix}.mlp.down_proj.weight"],
        weights.get(f"{prefix}.mlp.down_proj.bias"),
    )
