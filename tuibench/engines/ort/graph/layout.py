"""What the graphs of both families share: inputs, embedding, attention over a cache in place, output head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint, Matrix
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.ort.graph.builder import CONTRIB, GraphBuilder, Value
from tuibench.engines.ort.graph.experts import ExpertsOperator
from tuibench.engines.ort.graph.projections import Projection, WeightTally

_SINKS = 11
"""Which input of `GroupQueryAttention` they are."""
_PRODUCTS = ("qkv", "attention_out", "conv_in", "conv_out", "mlp_up", "mlp_down", "input_gate", "input_out")
"""Of those that a layer has."""


@dataclass(slots=True)
class Layout:
    """One graph in the making."""

    graph: GraphBuilder
    decoder: Decoder
    checkpoint: Checkpoint
    projection: Projection
    """For every matrix product that has none of its own."""
    experts: ExpertsOperator
    """For feed-forwards of which each token goes to a few."""
    special: Mapping[str, Projection] = field(default_factory=dict)
    """By the name of the product (`layers.3.mlp_out`), or by what follows the layer (`mlp_out`, `head`)."""
    progress: Progress = lambda *_: None
    tally: WeightTally = field(default_factory=WeightTally)
    keys_and_values: dict[int, tuple[Value, Value]] = field(default_factory=dict)
    """Of layers whose heads are prepared before attention, by index: later layers may read them."""

    def project(self, name: str, x: Value, weight: Matrix, bias: Matrix | None) -> Value:
        """Add a matrix product in the precision that is meant for it."""
        n_done = sum(self.tally.operators.values())
        everywhere = sum(role in layer.weights for layer in self.decoder.layers for role in _PRODUCTS)
        self.progress("writing weights", n_done, everywhere + 1 + bool(self.decoder.layer_input))
        projection = self.special.get(name) or self.special.get(name.rpartition(".")[2]) or self.projection
        return projection(self.graph, self.tally, name, x, weight, bias)

    def read(self, index: int, role: str) -> Matrix:
        """Return the weights of a role in a layer, which it has to have."""
        return self.checkpoint.matrix(self.decoder.layers[index].weights, role)

    def read_any(self, index: int, role: str) -> Matrix | None:
        """Return the weights of a role in a layer, or None where it has none."""
        return self.checkpoint.get(self.decoder.layers[index].weights, role)

    def rms_norm(self, name: str, x: Value, scale: Matrix) -> Value:
        """Add an RMS norm over the last axis, by the epsilon of the model."""
        stored = self.graph.weight(f"{name}.scale", scale)
        return self.graph.node(
            "SimplifiedLayerNormalization", [x, stored], [name], axis=-1, epsilon=self.decoder.norm_epsilon
        )

    def embed(self) -> Value:
        """Add the look-up of the tokens' embeddings, whose table stays as narrow as it is stored."""
        table = self.checkpoint.stored_embedding
        table = table.astype(np.float32) if table.dtype.itemsize > np.float32().itemsize else table
        stored = self.graph.weight("embedding.weight", table)
        self.tally.read_bytes += self.decoder.hidden * table.dtype.itemsize
        embedded = self.graph.node("Gather", [stored, "tokens"], ["embedded"])
        if table.dtype != np.float32:
            embedded = self.graph.node("Cast", [embedded], ["embedded.fp32"], to=TensorProto.FLOAT)
        if self.decoder.embedding_scale == 1:
            return embedded
        scale = self.graph.weight("embedding.scale", np.array(self.decoder.embedding_scale, np.float32))
        return self.graph.node("Mul", [embedded, scale], ["embedded.scaled"])

    def kept_positions(self, *values: Value) -> list[Value]:
        """Keep only the positions that were asked for: the output head is the largest product of a small model."""
        return [self.graph.node("Gather", [value, "kept"], [f"{value}.kept"], axis=1) for value in values]


def declare_inputs(layout: Layout) -> None:
    """Add the inputs of both families: tokens, which of them get logits, how far the cache is filled, and the cache."""
    graph, decoder = layout.graph, layout.decoder
    graph.input("tokens", TensorProto.INT64, ["n_rows", "n_tokens"])
    graph.input("kept", TensorProto.INT64, ["n_kept"])
    graph.input("last_index", TensorProto.INT32, ["n_rows"])
    graph.input("total_length", TensorProto.INT32, [])
    for index, described in decoder.attentions.items():
        shape: list[int | str] = ["n_rows", described.n_kv_heads, "capacity", described.head_dim]
        for part in ("key", "value"):
            if index in decoder.caching:
                graph.input(f"past.{index}.{part}", TensorProto.FLOAT, shape)
            graph.output(f"present.{index}.{part}", TensorProto.FLOAT, shape)


def attention(
    layout: Layout, index: int, qkv: tuple[Value, Value, Value], rotation: tuple[Value, Value] | None
) -> Value:
    """Add attention over everything so far; new keys and values go into the cache in place.

    A layer that reads another's writes the same numbers to the same place once more: the operator takes no cache alone.
    """
    described = layout.decoder.layers[index].attention
    window, softcap = described.window, described.softcap
    source = index if described.keys_of is None else described.keys_of
    inputs = [*qkv, f"past.{source}.key", f"past.{source}.value", "last_index", "total_length", *(rotation or ())]
    if described.sinks:
        sinks = layout.graph.weight(f"layers.{index}.sinks", layout.read(index, "sinks"))
        inputs += [""] * (_SINKS - len(inputs)) + [sinks]
    return layout.graph.node(
        "GroupQueryAttention",
        inputs,
        [f"layers.{index}.attended", f"present.{index}.key", f"present.{index}.value"],
        CONTRIB,
        num_heads=described.n_heads,
        kv_num_heads=described.n_kv_heads,
        scale=described.scale,
        do_rotary=int(rotation is not None),
        local_window_size=-1 if window is None else window,
        **({} if softcap is None else {"softcap": softcap}),
    )


def head(layout: Layout, x: Value, table: Matrix) -> None:
    """Add the output head; its result, the graph's last output, has shape `[n_rows, n_kept, vocabulary]`."""
    bias, softcap = layout.checkpoint.get(layout.decoder.weights, "head_bias"), layout.decoder.logit_softcap
    logits = layout.project("head", x, table, bias)
    if softcap is not None:
        cap = layout.graph.weight("logits.cap", np.array(softcap, np.float32))
        small = layout.graph.node("Tanh", [layout.graph.node("Div", [logits, cap], ["logits.scaled"])], ["logits.tanh"])
        logits = layout.graph.node("Mul", [small, cap], ["logits"])
    layout.graph.output(logits, TensorProto.FLOAT, ["n_rows", "n_kept", layout.decoder.vocabulary])
