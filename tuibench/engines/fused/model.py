"""The arrays of one model, packed so that a token streams each once, front to back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Activation, Decoder, Layer
from tuibench.engines.fused.activations import GELU, GELU_TANH, LIMITED_SILU, RELU, RELU_SQUARED, SILU
from tuibench.engines.fused.matrices import LANES, Matrix, padded, stored_bytes

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
_RESIDUAL_NORMS = ("attention_norm", "attention_out_norm", "feed_norm", "mlp_down_norm")
_LAYER_VECTORS = (
    *(f"{name}_bias" for name in LAYER_MATRICES),
    *_RESIDUAL_NORMS,
    *(f"{name}_bias" for name in _RESIDUAL_NORMS),
    *("query_norm", "key_norm", "sinks", "router_bias"),
)


class Shape(NamedTuple):
    """The sizes that the kernels need."""

    hidden: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    intermediate: int
    qkv_rows: int
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


class Vectors(NamedTuple):
    """One row per layer, the final norm excepted; a bias or norm that the model lacks has no columns."""

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
    vectors: Vectors
    qkv: Matrix
    attention_out: Matrix
    mlp_up: Matrix
    """Gated: row 2i is the gate of hidden unit i, row 2i + 1 its up projection. A matrix for each expert of a layer."""
    mlp_down: Matrix
    head: Matrix


def new_model(decoder: Decoder, weights: Checkpoint, matrices: Mapping[str, Matrix]) -> Model:
    """Return a model of packed matrices; everything else is read from the checkpoint."""
    return Model(_shape(decoder), _vectors(decoder, weights), **matrices)


def read_role(weights: Checkpoint, layer: Layer, name: str) -> Array | None:
    """Return what a role of a layer is packed from, a row an output; None where the model has no such weight."""
    if layer.feed.gated and name.startswith("mlp_up"):
        parts = weights.parts(layer.weights, name)
        return np.concatenate([_side_by_side(parts[i : i + 2]) for i in range(0, len(parts), 2)]) if parts else None
    return weights.get(layer.weights, name)


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
    attentions = [layer.attention for layer in decoder.layers]
    tables = [None, *decoder.rotations]
    rotations = [max(0, tables.index(decoder.rotation_of(each)) - 1) for each in attentions]
    outside = {role: weights.get(decoder.weights, role) for role in ("final_norm", "final_norm_bias", "head_bias")}
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
        **{name: np.stack([vectors[name] for vectors in layers]) for name in layers[0]},
    )


def _shape(decoder: Decoder) -> Shape:
    layer, experts = decoder.layers[0], decoder.experts
    limited = experts is not None and (experts.slope, experts.offset, experts.limit) != (1.0, 0.0, None)
    return Shape(
        hidden=decoder.hidden,
        n_heads=layer.attention.n_heads,
        n_kv_heads=layer.attention.n_kv_heads,
        head_dim=layer.attention.head_dim,
        intermediate=layer.feed.width,
        qkv_rows=layer.attention.query_width + 2 * layer.attention.key_width,
        gated=layer.feed.gated,
        parallel=decoder.parallel,
        activation=LIMITED_SILU if limited else ACTIVATIONS[layer.feed.activation],
        norm_after_rotation=layer.attention.norm_after_rotation,
        softcap=layer.attention.softcap or 0.0,
        logit_softcap=decoder.logit_softcap or 0.0,
        epsilon=decoder.norm_epsilon,
        n_experts=experts.n_experts if experts else 0,
        n_active=experts.n_active if experts else 0,
        normalised=experts is not None and experts.normalised,
        slope=experts.slope if experts else 1.0,
        offset=experts.offset if experts else 0.0,
        limit=inf if experts is None or experts.limit is None else experts.limit,
    )


def toy_model(empty: Callable[[int, int, int], Matrix]) -> Model:
    """Return a model of almost no size: compiled code depends on the kinds of arrays, not on their lengths."""
    width = TOY_WIDTH

    def matrix(n_outputs: int, n_inputs: int) -> Matrix:
        return empty(1, n_outputs, n_inputs)

    shape = Shape(
        hidden=width,
        n_heads=1,
        n_kv_heads=1,
        head_dim=width,
        intermediate=width,
        qkv_rows=3 * width,
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
    )
    return Model(
        shape,
        _toy_vectors(),
        qkv=matrix(3 * width, width),
        attention_out=matrix(width, width),
        mlp_up=matrix(2 * width, width),
        mlp_down=matrix(width, width),
        head=matrix(width, width),
    )


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
        router=np.zeros((1, 0, TOY_WIDTH), np.float32),
        **{name: present.get(name, no_row) for name in _LAYER_VECTORS},
    )


def weight_bytes(model: Model) -> int:
    """Return the bytes of weights that one token reads: all of them, once; of experts those that it goes to."""
    always = sum(stored_bytes(matrix) for matrix in (model.qkv, model.attention_out, model.head))
    feed = stored_bytes(model.mlp_up) + stored_bytes(model.mlp_down)
    if model.shape.n_experts:
        feed = feed // model.shape.n_experts * model.shape.n_active
    return sum(vector.nbytes for vector in model.vectors) + always + feed
