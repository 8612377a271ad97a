"""What each layer is told of the token besides the residual, and how a layer ends that is told it (Gemma 4)."""

from __future__ import annotations

import numpy as np

from tuibench.engines.ort.graph.builder import CONTRIB, Value
from tuibench.engines.ort.graph.layout import Layout


def add_layer_inputs(layout: Layout, embedded: Value) -> None:
    """Add what the layers are told, `layer_inputs.0` and so on; see `Decoder.layer_input`."""
    graph, decoder, checkpoint = layout.graph, layout.decoder, layout.checkpoint
    width = decoder.layer_input
    if not width:
        return
    by_layer = graph.weight("layer_inputs.by_layer", np.array([0, 0, decoder.n_layers, width], np.int64))
    flat = graph.weight("layer_inputs.flat", np.array([0, 0, decoder.n_layers * width], np.int64))
    weight = checkpoint.matrix(decoder.weights, "layer_projection")
    projected = layout.project("layer_projection", embedded, weight, None)
    parts = graph.node("Reshape", [projected, by_layer], ["layer_inputs.parts"])
    scale = checkpoint.matrix(decoder.weights, "layer_projection_norm")
    normed = graph.node(
        "Reshape", [layout.rms_norm("layer_inputs.normed", parts, scale), flat], ["layer_inputs.projected"]
    )
    table = graph.weight("layer_embedding.weight", checkpoint.matrix(decoder.weights, "layer_embedding"))
    layout.tally.read_bytes += decoder.n_layers * width * 4
    rows = graph.node("Gather", [table, "tokens"], ["layer_inputs.rows"])
    factor = graph.weight("layer_embedding.scale", np.array(decoder.layer_embedding_scale, np.float32))
    scaled = graph.node("Mul", [rows, factor], ["layer_inputs.embedded"])
    together = graph.node("Add", [normed, scaled], ["layer_inputs"])
    names = [f"layer_inputs.{index}" for index in range(decoder.n_layers)]
    graph.node("Split", [together], names, axis=-1, num_outputs=decoder.n_layers)


def end_layer(layout: Layout, index: int, x: Value) -> Value:
    """Add what a layer makes of what it is told, and multiply the residual by the layer's scale."""
    graph, prefix = layout.graph, f"layers.{index}"
    if layout.decoder.layer_input:
        gate = layout.project(f"{prefix}.input_gate", x, layout.read(index, "input_gate"), None)
        active = graph.node("FastGelu", [gate], [f"{prefix}.input_active"], CONTRIB)
        gated = graph.node("Mul", [active, f"layer_inputs.{index}"], [f"{prefix}.input_gated"])
        out = layout.project(f"{prefix}.input_out", gated, layout.read(index, "input_out"), None)
        update = layout.rms_norm(f"{prefix}.input_normed", out, layout.read(index, "input_out_norm"))
        x = graph.node("Add", [x, update], [f"{prefix}.with_input"])
    scale = graph.weight(f"{prefix}.scale", layout.read(index, "layer_scale"))
    return graph.node("Mul", [x, scale], [f"{prefix}.scaled"])
