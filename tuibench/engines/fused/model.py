"""The arrays of one model, packed so that a token streams each once, front to back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.fused.matrices import Matrix, stored_bytes
from tuibench.engines.fused.packing import StackWriter

Array = NDArray[np.float32]
_UNLIMITED = 2**31 - 1
TOY_WIDTH = 32
_NONE = np.zeros(0, np.float32)
_LAYER_MATRICES = ("qkv", "attention_out", "feed_in", "feed_out")
_LAYER_VECTORS = (
    *(f"{name}_bias" for name in _LAYER_MATRICES),
    *("attention_norm", "attention_norm_bias", "feed_norm", "feed_norm_bias", "query_norm", "key_norm"),
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
    """Whether the feed-forward is SiLU with a gate (Llama), else GELU (GPT-2)."""
    epsilon: float


class Vectors(NamedTuple):
    """One row per layer, the final norm excepted; a bias or norm that the model lacks has no columns."""

    windows: NDArray[np.int64]
    """For each layer, how many positions it sees."""
    attention_scales: Array
    qkv_bias: Array
    attention_out_bias: Array
    feed_in_bias: Array
    feed_out_bias: Array
    attention_norm: Array
    attention_norm_bias: Array
    feed_norm: Array
    feed_norm_bias: Array
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
    feed_in: Matrix
    """Gated: row 2i is the gate of hidden unit i, row 2i + 1 its up projection."""
    feed_out: Matrix
    head: Matrix


class _Layer(NamedTuple):
    """One layer of a checkpoint under the names used here; None where the model has no such weight."""

    qkv: Array
    attention_out: Array
    feed_in: Array
    feed_out: Array
    vectors: dict[str, Array | None]


def _llama_layer(weights: Checkpoint, index: int) -> _Layer:
    attention, feed = f"layers.{index}.self_attn", f"layers.{index}.mlp"
    qkv = [f"{attention}.{part}_proj" for part in ("q", "k", "v")]
    gate_up = [f"{feed}.{part}_proj" for part in ("gate", "up")]
    return _Layer(
        qkv=np.concatenate([weights[f"{name}.weight"] for name in qkv]),
        attention_out=weights[f"{attention}.o_proj.weight"],
        feed_in=_side_by_side([weights[f"{name}.weight"] for name in gate_up]),
        feed_out=weights[f"{feed}.down_proj.weight"],
        vectors={
            "qkv_bias": _joined(weights, [f"{name}.bias" for name in qkv], np.concatenate),
            "attention_out_bias": weights.get(f"{attention}.o_proj.bias"),
            "feed_in_bias": _joined(weights, [f"{name}.bias" for name in gate_up], _side_by_side),
            "feed_out_bias": weights.get(f"{feed}.down_proj.bias"),
            "attention_norm": weights[f"layers.{index}.input_layernorm.weight"],
            "attention_norm_bias": None,
            "feed_norm": weights[f"layers.{index}.post_attention_layernorm.weight"],
            "feed_norm_bias": None,
            "query_norm": weights.get(f"{attention}.q_norm.weight"),
            "key_norm": weights.get(f"{attention}.k_norm.weight"),
        },
    )


def _gpt2_layer(weights: Checkpoint, index: int) -> _Layer:
    prefix = f"h.{index}"
    # transformers' Conv1D keeps its weight as [inputs, outputs].
    return _Layer(
        qkv=weights[f"{prefix}.attn.c_attn.weight"].T,
        attention_out=weights[f"{prefix}.attn.c_proj.weight"].T,
        feed_in=weights[f"{prefix}.mlp.c_fc.weight"].T,
        feed_out=weights[f"{prefix}.mlp.c_proj.weight"].T,
        vectors={
            "qkv_bias": weights[f"{prefix}.attn.c_attn.bias"],
            "attention_out_bias": weights[f"{prefix}.attn.c_proj.bias"],
            "feed_in_bias": weights[f"{prefix}.mlp.c_fc.bias"],
            "feed_out_bias": weights[f"{prefix}.mlp.c_proj.bias"],
            "attention_norm": weights[f"{prefix}.ln_1.weight"],
            "attention_norm_bias": weights[f"{prefix}.ln_1.bias"],
            "feed_norm": weights[f"{prefix}.ln_2.weight"],
            "feed_norm_bias": weights[f"{prefix}.ln_2.bias"],
            "query_norm": None,
            "key_norm": None,
        },
    )


def _side_by_side(gate_up: list[Array]) -> Array:
    gate, up = gate_up
    return np.stack([gate, up], axis=1).reshape(2 * len(gate), *gate.shape[1:])


def _joined(weights: Checkpoint, names: list[str], join: Callable[[list[Array]], Array]) -> Array | None:
    parts = [part for name in names if (part := weights.get(name)) is not None]
    return join(parts) if len(parts) == len(names) else None


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
    read_layer = _gpt2_layer if decoder.family == "gpt2" else _llama_layer
    first = read_layer(weights, 0)
    stacks = {name: writer(decoder.n_layers, *getattr(first, name).shape) for name in _LAYER_MATRICES}
    table = weights.head
    head = writer(1, *table.shape)

    def pack_layer(index: int) -> dict[str, Array]:
        layer = read_layer(weights, index)
        for name, stack in stacks.items():
            stack.put(index, getattr(layer, name))
        return {name: _NONE if vector is None else np.array(vector) for name, vector in layer.vectors.items()}

    with ThreadPoolExecutor(n_threads) as pool:
        packed_head = pool.submit(head.put, 0, table)  # the largest matrix: not to be waited for in the end
        layers: list[dict[str, Array]] = []
        for vectors in pool.map(pack_layer, range(decoder.n_layers)):
            progress("packing weights", len(layers), decoder.n_layers)
            layers.append(vectors)
        packed_head.result()
    matrices = {name: stack.stack() for name, stack in stacks.items()}
    return Model(_shape(decoder, first), _vectors(decoder, weights, layers), head=head.stack(), **matrices)


def _vectors(decoder: Decoder, weights: Checkpoint, layers: list[dict[str, Array]]) -> Vectors:
    gpt2 = decoder.family == "gpt2"
    return Vectors(
        windows=np.array([_UNLIMITED if window is None else window for window in decoder.windows], np.int64),
        attention_scales=np.array(decoder.attention_scales, np.float32),
        final_norm=np.array(weights["ln_f.weight" if gpt2 else "norm.weight"]),
        final_norm_bias=np.array(weights["ln_f.bias"]) if gpt2 else _NONE,
        **{name: np.stack([vectors[name] for vectors in layers]) for name in layers[0]},
    )


def _shape(decoder: Decoder, layer: _Layer) -> Shape:
    return Shape(
        hidden=decoder.hidden,
        n_heads=decoder.n_heads,
        n_kv_heads=decoder.n_kv_heads,
        head_dim=decoder.head_dim,
        intermediate=layer.feed_out.shape[1],
        qkv_rows=layer.qkv.shape[0],
        gated=decoder.family == "llama",
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
        epsilon=1e-5,
    )
    return Model(
        shape,
        _toy_vectors(),
        qkv=matrix(3 * width, width),
        attention_out=matrix(width, width),
        feed_in=matrix(2 * width, width),
        feed_out=matrix(width, width),
        head=matrix(width, width),
    )


def _toy_vectors() -> Vectors:
    row, no_row = np.zeros((1, TOY_WIDTH), np.float32), np.zeros((1, 0), np.float32)
    present = dict.fromkeys(("attention_norm", "feed_norm"), row)
    return Vectors(
        windows=np.array([_UNLIMITED], np.int64),
        attention_scales=np.ones(1, np.float32),
        final_norm=row[0],
        final_norm_bias=_NONE,
        **{name: present.get(name, no_row) for name in _LAYER_VECTORS},
    )


def weight_bytes(model: Model) -> int:
    """Return the bytes of weights that one token reads: all of them, once."""
    matrices = (model.qkv, model.attention_out, model.feed_in, model.feed_out, model.head)
    return sum(vector.nbytes for vector in model.vectors) + sum(stored_bytes(matrix) for matrix in matrices)
