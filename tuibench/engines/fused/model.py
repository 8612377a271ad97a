"""The arrays of one model, packed so that a token streams each once, front to back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Activation, Decoder, Layer, packed_shape
from tuibench.engines.fused.kernels.vector import GELU, RELU_SQUARED, SILU
from tuibench.engines.fused.matrices import Matrix, stored_bytes
from tuibench.engines.fused.packing import StackWriter

Array = NDArray[np.float32]
ACTIVATIONS: dict[Activation, int] = {"silu": SILU, "gelu_tanh": GELU, "relu_squared": RELU_SQUARED}
_UNLIMITED = 2**31 - 1
TOY_WIDTH = 32
_NONE = np.zeros(0, np.float32)
_LAYER_MATRICES = ("qkv", "attention_out", "mlp_up", "mlp_down")
_LAYER_VECTORS = (
    *(f"{name}_bias" for name in _LAYER_MATRICES),
    *("attention_norm", "attention_norm_bias", "attention_out_norm", "attention_out_norm_bias"),
    *("feed_norm", "feed_norm_bias", "mlp_down_norm", "mlp_down_norm_bias", "query_norm", "key_norm"),
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
    activation: int
    """One of those of `kernels.vector`."""
    norm_after_rotation: bool
    """Whether heads are rotated before they are normalised."""
    softcap: float
    """What attention's scores stay below; 0 where they may be of any size."""
    logit_softcap: float
    epsilon: float


class Vectors(NamedTuple):
    """One row per layer, the final norm excepted; a bias or norm that the model lacks has no columns."""

    windows: NDArray[np.int64]
    """For each layer, how many positions it sees."""
    rotated_pairs: NDArray[np.int64]
    """For each layer, how many pairs of a head are turned: all or none."""
    rotations: NDArray[np.int64]
    """For each layer, by which of the cache's tables."""
    attention_scales: Array
    qkv_bias: Array
    attention_out_bias: Array
    mlp_up_bias: Array
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


class Model(NamedTuple):
    """All weights."""

    shape: Shape
    vectors: Vectors
    qkv: Matrix
    attention_out: Matrix
    mlp_up: Matrix
    """Gated: row 2i is the gate of hidden unit i, row 2i + 1 its up projection."""
    mlp_down: Matrix
    head: Matrix


def _read(weights: Checkpoint, layer: Layer, name: str) -> Array | None:
    """Return what a role of a layer is packed from, a row an output; None where the model has no such weight."""
    if layer.feed.gated and name.startswith("mlp_up"):
        parts = weights.parts(layer.weights, name)
        return _side_by_side(parts) if parts else None
    return weights.get(layer.weights, name)


def _side_by_side(gate_up: list[Array]) -> Array:
    gate, up = gate_up
    return np.stack([gate, up], axis=1).reshape(2 * len(gate), *gate.shape[1:])


def _matrices(weights: Checkpoint, layer: Layer) -> Iterator[tuple[str, Array]]:
    for name in _LAYER_MATRICES:
        matrix = _read(weights, layer, name)
        assert matrix is not None  # noqa: S101 - every decoder has these
        yield name, matrix


def _layer_vectors(weights: Checkpoint, layer: Layer) -> dict[str, Array]:
    vectors = {name: _read(weights, layer, name) for name in _LAYER_VECTORS}
    return {name: _NONE if vector is None else np.array(vector) for name, vector in vectors.items()}


def pack_model(
    decoder: Decoder, weights: Checkpoint, writer: type[StackWriter], n_threads: int, progress: Progress
) -> Model:
    """Return a model's weights as one precision stores them.

    Args:
        decoder: What the model is.
        weights: Its checkpoint, read layer by layer.
        writer: Packs matrices.
        n_threads: How many layers are packed at once.
        progress: Called for each layer.
    """
    described = decoder.layers[0].weights
    stacks = {name: writer(decoder.n_layers, *packed_shape(described[name])) for name in _LAYER_MATRICES}
    table = weights.head
    head = writer(1, *table.shape)

    def pack_layer(index: int) -> dict[str, Array]:
        layer = decoder.layers[index]
        for name, matrix in _matrices(weights, layer):
            stacks[name].put(index, matrix)
        return _layer_vectors(weights, layer)

    with ThreadPoolExecutor(n_threads) as pool:
        packed_head = pool.submit(head.put, 0, table)  # the largest matrix: not to be waited for in the end
        layers: list[dict[str, Array]] = []
        for vectors in pool.map(pack_layer, range(decoder.n_layers)):
            progress("packing weights", len(layers), decoder.n_layers)
            layers.append(vectors)
        packed_head.result()
    matrices = {name: stack.stack() for name, stack in stacks.items()}
    return Model(_shape(decoder), _vectors(decoder, weights, layers), head=head.stack(), **matrices)


def _vectors(decoder: Decoder, weights: Checkpoint, layers: list[dict[str, Array]]) -> Vectors:
    attentions = [layer.attention for layer in decoder.layers]
    tables = [None, *decoder.rotations]
    rotations = [max(0, tables.index(decoder.rotation_of(each)) - 1) for each in attentions]
    final_norm_bias = weights.get(decoder.weights, "final_norm_bias")
    return Vectors(
        windows=np.array([_UNLIMITED if each.window is None else each.window for each in attentions], np.int64),
        rotated_pairs=np.array([each.head_dim // 2 if each.rotated else 0 for each in attentions], np.int64),
        rotations=np.array(rotations, np.int64),
        attention_scales=np.array([each.scale for each in attentions], np.float32),
        final_norm=np.array(weights.matrix(decoder.weights, "final_norm")),
        final_norm_bias=_NONE if final_norm_bias is None else np.array(final_norm_bias),
        **{name: np.stack([vectors[name] for vectors in layers]) for name in layers[0]},
    )


def _shape(decoder: Decoder) -> Shape:
    layer = decoder.layers[0]
    return Shape(
        hidden=decoder.hidden,
        n_heads=layer.attention.n_heads,
        n_kv_heads=layer.attention.n_kv_heads,
        head_dim=layer.attention.head_dim,
        intermediate=layer.feed.width,
        qkv_rows=layer.attention.query_width + 2 * layer.attention.key_width,
        gated=layer.feed.gated,
        activation=ACTIVATIONS[layer.feed.activation],
        norm_after_rotation=layer.attention.norm_after_rotation,
        softcap=layer.attention.softcap or 0.0,
        logit_softcap=decoder.logit_softcap or 0.0,
        epsilon=decoder.norm_epsilon,
    )


def toy_model(writer: type[StackWriter]) -> Model:
    """Return a model of almost no size: compiled code depends on the kinds of arrays, not on their lengths."""
    width = TOY_WIDTH

    def matrix(n_outputs: int, n_inputs: int) -> Matrix:
        stack = writer(1, n_outputs, n_inputs)
        stack.put(0, np.zeros((n_outputs, n_inputs), np.float32))
        return stack.stack()

    shape = Shape(
        hidden=width,
        n_heads=1,
        n_kv_heads=1,
        head_dim=width,
        intermediate=width,
        qkv_rows=3 * width,
        gated=True,
        activation=SILU,
        norm_after_rotation=False,
        softcap=0.0,
        logit_softcap=0.0,
        epsilon=1e-5,
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
        **{name: present.get(name, no_row) for name in _LAYER_VECTORS},
    )


def weight_bytes(model: Model) -> int:
    """Return the bytes of weights that one token reads: all of them, once."""
    matrices = (model.qkv, model.attention_out, model.mlp_up, model.mlp_down, model.head)
    return sum(vector.nbytes for vector in model.vectors) + sum(stored_bytes(matrix) for matrix in matrices)
