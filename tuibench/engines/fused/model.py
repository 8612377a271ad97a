"""The arrays of one model, packed so that a token streams each once, front to back."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Activation, Decoder, Layer
from tuibench.engines.fused.activations import GELU, GELU_TANH, LIMITED_SILU, RELU, RELU_SQUARED, SILU
from tuibench.engines.fused.convolution_weights import Convolutions, new_convolutions, toy_convolutions
from tuibench.engines.fused.layers import Layers, is_varied, new_layers, role_of, toy_layers
from tuibench.engines.fused.matrices import LANES, Absent, Matrix, n_panels, padded, stored_bytes

Array = NDArray[np.float32]
ACTIVATIONS: dict[Activation, int] = {
    "silu": SILU,
    "gelu_tanh": GELU_TANH,
    "relu_squared": RELU_SQUARED,
    "gelu": GELU,
    "relu": RELU,
}
_UNLIMITED = 2**31 - 1
TOY_WIDTH = 32
_NONE = np.zeros(0, np.float32)
LAYER_MATRICES = ("qkv", "attention_out", "mlp_up", "mlp_down")
INPUT_MATRICES = ("input_gate", "input_out")
"""Those of layers that read the token again."""
WIDE = "wide_"
"""Prefix of the stacks of the wider layers, see `layers`."""
_OF_VARIED = (*(f"{WIDE}{name}" for name in LAYER_MATRICES), "layer_projection", *INPUT_MATRICES, "convolutions")
_ABSENT = dict.fromkeys(_OF_VARIED, Absent())
_RESIDUAL_NORMS = ("attention_norm", "attention_out_norm", "feed_norm", "mlp_down_norm")
_LAYER_VECTORS = (
    *(f"{name}_bias" for name in LAYER_MATRICES),
    *_RESIDUAL_NORMS,
    *(f"{name}_bias" for name in _RESIDUAL_NORMS),
    *("query_norm", "key_norm", "sinks", "router_bias", "layer_scale", "input_out_norm"),
)


class Shape(NamedTuple):
    """The sizes that the kernels need."""

    hidden: int
    n_heads: int
    intermediate: int
    """The largest; see `Layers`, which has the other sizes, too."""
    gated: bool
    """Whether the feed-forward has a gate."""
    parallel: bool
    """Whether the feed-forward reads the residual that attention reads."""
    activation: int
    """One of those of `kernels.vector`."""
    norm_after_rotation: bool
    """Whether heads are rotated before they are normalised."""
    softcap: float
    """What attention's scores stay below; 0 where they may be of any size."""
    logit_softcap: float
    epsilon: float
    n_experts: int
    """0 where every token goes through the same feed-forward; the next two mean nothing then."""
    n_active: int
    """To how many experts a token goes."""
    normalised: bool
    """Whether their weights add up to 1."""
    slope: float
    """This and the next two: of a SiLU with limits; see `limited_silu_gate`."""
    offset: float
    limit: float
    layer_input: int
    """Width of what each layer reads of the token besides; 0 where that is nothing."""


class Vectors(NamedTuple):
    """One row per layer, but of what stands outside of them; a bias or norm that the model lacks has no columns.

    A row is as long as the longest layer's.
    """

    windows: NDArray[np.int64]
    """For each layer, how many positions it sees."""
    rotated_pairs: NDArray[np.int64]
    """For each layer, how many pairs of a head are turned: all or none."""
    rotations: NDArray[np.int64]
    """For each layer, by which of the cache's tables."""
    attention_scales: Array
    sinks: Array
    """A score for each head."""
    qkv_bias: Array
    attention_out_bias: Array
    mlp_up_bias: Array
    """As the rows of `mlp_up`; of all experts, one after the other, as in the next."""
    mlp_down_bias: Array
    attention_norm: Array
    attention_norm_bias: Array
    attention_out_norm: Array
    attention_out_norm_bias: Array
    feed_norm: Array
    feed_norm_bias: Array
    mlp_down_norm: Array
    mlp_down_norm_bias: Array
    query_norm: Array
    key_norm: Array
    value_norm: Array
    """Ones."""
    layer_scale: Array
    """One number, by which what leaves the layer is multiplied."""
    input_out_norm: Array
    layer_projection_norm: Array
    """Of each layer's part."""
    final_norm: Array
    final_norm_bias: Array
    head_bias: Array
    """Whole panels, or nothing."""
    router: Array
    """`[layers, experts, hidden]`"""
    router_bias: Array


class Model(NamedTuple):
    """All weights."""

    shape: Shape
    layers: Layers
    vectors: Vectors
    qkv: Matrix
    wide_qkv: Matrix | Absent
    """This and others of this prefix: of the wider layers, see `layers`; absent unless a model `is_varied`."""
    attention_out: Matrix
    wide_attention_out: Matrix | Absent
    mlp_up: Matrix
    """Gated: row 2i is the gate of hidden unit i, row 2i + 1 its up projection. A matrix for each expert of a layer."""
    wide_mlp_up: Matrix | Absent
    mlp_down: Matrix
    wide_mlp_down: Matrix | Absent
    head: Matrix
    layer_projection: Matrix
    """This and the next two: of layers that read the token again, see `Decoder.layer_input`; absent likewise."""
    input_gate: Matrix
    input_out: Matrix
    convolutions: Convolutions | Absent
    """Absent likewise."""


_MATRICES = Model._fields[3:-1]


def new_model(decoder: Decoder, weights: Checkpoint, matrices: dict[str, Matrix]) -> Model:
    """Return a model of packed matrices; everything else is read from the checkpoint."""
    found: dict[str, Any] = dict(matrices)
    found |= {"convolutions": new_convolutions(decoder, weights)} if is_varied(decoder) else _ABSENT
    return Model(_shape(decoder), new_layers(decoder), _vectors(decoder, weights), **found)


def read_role(weights: Checkpoint, layer: Layer, name: str) -> Array | None:
    """Return what a role of a layer is packed from, a row an output; None where the model has no such weight."""
    if layer.feed.gated and name.startswith("mlp_up"):
        parts = weights.parts(layer.weights, name)
        return np.concatenate([_side_by_side(parts[i : i + 2]) for i in range(0, len(parts), 2)]) if parts else None
    return weights.get(layer.weights, role_of(layer, name))


def read_expert(weights: Checkpoint, layer: Layer, name: str, expert: int) -> Array:
    """Return the same of one expert."""
    parts = layer.weights[name]
    if name == "mlp_down":
        return weights.part(parts[expert])
    return _side_by_side([weights.part(part) for part in parts[2 * expert : 2 * expert + 2]])


def _side_by_side(gate_up: list[Array]) -> Array:
    gate, up = gate_up
    return np.stack([gate, up], axis=1).reshape(2 * len(gate), *gate.shape[1:])


def _layer_vectors(decoder: Decoder, weights: Checkpoint, layer: Layer) -> dict[str, Array]:
    found = {name: vector for name in _LAYER_VECTORS if (vector := read_role(weights, layer, name)) is not None}
    found = _with_norm_biases(decoder, found)
    return {name: np.array(found.get(name, _NONE)) for name in _LAYER_VECTORS}


def _with_norm_biases(decoder: Decoder, vectors: dict[str, Array]) -> dict[str, Array]:
    """Return the same with zeros for biases that layer norms lack: to the kernels a norm without one is an RMS norm."""
    if decoder.norm == "rms":
        return vectors
    norms = [name for name in (*_RESIDUAL_NORMS, "final_norm") if name in vectors]
    return {f"{name}_bias": np.zeros_like(vectors[name]) for name in norms} | vectors


def _vectors(decoder: Decoder, weights: Checkpoint) -> Vectors:
    layers = [_layer_vectors(decoder, weights, layer) for layer in decoder.layers]
    # What stands here for a convolution is not read.
    usual = next(iter(decoder.attentions.values()))
    attentions = [decoder.attentions.get(index, usual) for index in range(decoder.n_layers)]
    tables = [None, *decoder.rotations]
    rotations = [max(0, tables.index(decoder.rotation_of(each)) - 1) for each in attentions]
    roles = ("final_norm", "final_norm_bias", "head_bias", "layer_projection_norm")
    outside = {role: weights.get(decoder.weights, role) for role in roles}
    found = _with_norm_biases(decoder, {role: vector for role, vector in outside.items() if vector is not None})
    head_bias = found.get("head_bias", _NONE)
    found["head_bias"] = np.pad(head_bias, (0, padded(head_bias.size, LANES) - head_bias.size))
    routers = [weights.get(layer.weights, "router") for layer in decoder.layers]
    none = np.zeros((0, decoder.hidden), np.float32)
    return Vectors(
        router=np.stack([none if router is None else router for router in routers]),
        windows=np.array([_UNLIMITED if each.window is None else each.window for each in attentions], np.int64),
        rotated_pairs=np.array([each.head_dim // 2 if each.rotated else 0 for each in attentions], np.int64),
        rotations=np.array(rotations, np.int64),
        attention_scales=np.array([each.scale for each in attentions], np.float32),
        **{role: np.array(found.get(role, _NONE)) for role in outside},
        value_norm=_stacked([np.ones(each.head_dim if each.value_norm else 0, np.float32) for each in attentions]),
        **{name: _stacked([vectors[name] for vectors in layers]) for name in layers[0]},
    )


def _stacked(rows: list[Array]) -> Array:
    """Return rows as one table; what shorter ones lack is zeros, which nobody reads."""
    longest = max(row.size for row in rows)
    return np.stack([np.pad(row, (0, longest - row.size)) for row in rows])


def _shape(decoder: Decoder) -> Shape:
    attention, feed, experts = next(iter(decoder.attentions.values())), decoder.layers[0].feed, decoder.experts
    limited = experts is not None and (experts.slope, experts.offset, experts.limit) != (1.0, 0.0, None)
    return Shape(
        hidden=decoder.hidden,
        n_heads=attention.n_heads,
        intermediate=max(each.feed.width for each in decoder.layers),
        gated=feed.gated,
        parallel=decoder.parallel,
        activation=LIMITED_SILU if limited else ACTIVATIONS[feed.activation],
        norm_after_rotation=attention.norm_after_rotation,
        softcap=attention.softcap or 0.0,
        logit_softcap=decoder.logit_softcap or 0.0,
        epsilon=decoder.norm_epsilon,
        n_experts=experts.n_experts if experts else 0,
        n_active=experts.n_active if experts else 0,
        normalised=experts is not None and experts.normalised,
        slope=experts.slope if experts else 1.0,
        offset=experts.offset if experts else 0.0,
        limit=inf if experts is None or experts.limit is None else experts.limit,
        layer_input=decoder.layer_input,
    )


def toy_model(empty: Callable[[int, int, int], Matrix], *, varied: bool = False) -> Model:
    """Return a model of almost no size: compiled code depends on the kinds of arrays, not on their lengths."""
    width = TOY_WIDTH

    def matrix(n_outputs: int, n_inputs: int) -> Matrix:
        return empty(1, n_outputs, n_inputs)

    shape = Shape(
        hidden=width,
        n_heads=1,
        intermediate=width,
        gated=True,
        parallel=False,
        activation=SILU,
        norm_after_rotation=False,
        softcap=0.0,
        logit_softcap=0.0,
        epsilon=1e-5,
        n_experts=0,
        n_active=0,
        normalised=False,
        slope=1.0,
        offset=0.0,
        limit=inf,
        layer_input=0,
    )
    found: dict[str, Any] = {name: matrix(3 * width, width) for name in _MATRICES}
    found["convolutions"] = toy_convolutions(width)
    return Model(shape, toy_layers(width), _toy_vectors(), **found | ({} if varied else _ABSENT))


def _toy_vectors() -> Vectors:
    row, no_row = np.zeros((1, TOY_WIDTH), np.float32), np.zeros((1, 0), np.float32)
    present = dict.fromkeys(("attention_norm", "feed_norm"), row)
    return Vectors(
        windows=np.array([_UNLIMITED], np.int64),
        rotated_pairs=np.array([TOY_WIDTH // 2], np.int64),
        rotations=np.zeros(1, np.int64),
        attention_scales=np.ones(1, np.float32),
        final_norm=row[0],
        final_norm_bias=_NONE,
        head_bias=_NONE,
        layer_projection_norm=_NONE,
        value_norm=no_row,
        router=np.zeros((1, 0, TOY_WIDTH), np.float32),
        **{name: present.get(name, no_row) for name in _LAYER_VECTORS},
    )


def weight_bytes(model: Model) -> int:
    """Return the bytes of weights that one token reads: all of them, once; of experts those that it goes to."""
    feeds = {"mlp_up", "mlp_down", f"{WIDE}mlp_up", f"{WIDE}mlp_down"}
    named = {name: getattr(model, name) for name in _MATRICES}
    stored = {name: stored_bytes(matrix) for name, matrix in named.items() if not isinstance(matrix, Absent)}
    always = sum(n_bytes for name, n_bytes in stored.items() if name not in feeds)
    always -= sum(_unread_bytes(model.layers, qkv, wide) for wide, qkv in enumerate((model.qkv, model.wide_qkv)))
    feed = sum(n_bytes for name, n_bytes in stored.items() if name in feeds)
    if model.shape.n_experts:
        feed = feed // model.shape.n_experts * model.shape.n_active
    convolved = 0 if isinstance(model.convolutions, Absent) else sum(int(each.nbytes) for each in model.convolutions)
    return sum(int(vector.nbytes) for vector in model.vectors) + convolved + always + feed


def _unread_bytes(layers: Layers, qkv: Matrix | Absent, wide: int) -> int:
    """Return the bytes of rows that a stack of `qkv` has for layers without keys of their own."""
    if isinstance(qkv, Absent):
        return 0
    rows = layers.qkv_rows[layers.wide_heads == wide]
    unread = sum(1 - n_panels(int(n)) / qkv[0].shape[1] for n in rows)
    return round(stored_bytes(qkv) / max(1, len(rows)) * float(unread))
