"""Queries, keys and values between their product and attention, where more is to be done than attention itself does."""

from __future__ import annotations

import numpy as np

from tuibench.engines.decoder.checkpoint import Matrix
from tuibench.engines.ort.graph.builder import CONTRIB, Value
from tuibench.engines.ort.graph.layout import Layout


def prepared_heads(layout: Layout, index: int, packed: Value) -> tuple[Value, Value, Value]:
    """Split queries, keys and values, and normalise them; where that comes after rotation, rotate queries and keys.

    A layer that reads another's keys and values gets that one's.
    """
    described = layout.decoder.layers[index].attention
    query, *others = _split(layout, index, packed)
    query = _normalised(layout, index, query, "query_norm", described.query_width)
    if described.keys_of is not None:
        return query, *layout.keys_and_values[described.keys_of]
    key, value = others[0], others[-1]
    normed = _normalised(layout, index, key, "key_norm", described.key_width)
    if described.value_norm:
        ones = np.ones(described.head_dim, np.float32)
        value = _normalise_heads(layout, f"layers.{index}.values", value, ones, described.key_width)
    layout.keys_and_values[index] = normed, value
    return query, normed, value


def _split(layout: Layout, index: int, packed: Value) -> list[Value]:
    graph, described = layout.graph, layout.decoder.layers[index].attention
    if described.keys_of is not None:
        return [packed]
    n_parts = 2 if described.keys_as_values else 3
    widths = [described.query_width, described.key_width, described.key_width][:n_parts]
    parts = [f"layers.{index}.{part}" for part in ("query", "key", "value")][:n_parts]
    sizes = graph.weight(f"split_{'_'.join(map(str, widths))}", np.array(widths, np.int64))
    graph.node("Split", [packed, sizes], parts, axis=-1)
    return parts


def _normalised(layout: Layout, index: int, x: Value, role: str, width: int) -> Value:
    described, scale = layout.decoder.layers[index].attention, layout.read(index, role)
    if described.norm_after_rotation:
        x = _rotated(layout, index, x)
    if described.qk_norm == "all":
        return layout.rms_norm(f"{x}.normed", x, scale)
    return _normalise_heads(layout, x, x, scale, width)


def _rotated(layout: Layout, index: int, x: Value) -> Value:
    prefix = layout.decoder.rotation_of(layout.decoder.layers[index].attention)
    if prefix is None:
        return x
    inputs = [x, "positions", f"{prefix}cos", f"{prefix}sin"]
    return layout.graph.node("RotaryEmbedding", inputs, [f"{x}.rotated"], CONTRIB)


def _normalise_heads(layout: Layout, name: str, x: Value, scale: Matrix, width: int) -> Value:
    graph, head_dim = layout.graph, len(scale)
    by_head = graph.weight(f"by_head_{head_dim}", np.array([0, 0, -1, head_dim], np.int64))
    flat = graph.weight(f"flat_{width}", np.array([0, 0, width], np.int64))
    heads = graph.node("Reshape", [x, by_head], [f"{name}.heads"])
    return graph.node("Reshape", [layout.rms_norm(f"{name}.normed", heads, scale), flat], [f"{name}.flat"])
