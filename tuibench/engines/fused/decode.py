"""One token from embedding to logits, in one compiled call.

Every worker runs the same function on its share of the rows. Five barriers a layer: a worker may read what all have
written only after one. Norms and other short work on whole vectors is done by every worker for itself, into memory of
its own: that is cheaper than one more barrier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.kernels_attention import CHUNK, attend_chunk, chunks_of, combine_chunks
from tuibench.engines.fused.kernels_dot import Inputs, multiply, prepare_inputs
from tuibench.engines.fused.kernels_vector import Vector, add, gelu, norm, rotate, silu_gate
from tuibench.engines.fused.matrices import INT4_BLOCK
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.team import await_order, barrier, order_of, share
from tuibench.engines.fused.vector_ir import INT4_LANES


class Cache(NamedTuple):
    """Keys (rotated) and values of all positions so far, `[layers, n_kv_heads, capacity, head_dim]`, and the angles."""

    keys: NDArray[np.float32]
    values: NDArray[np.float32]
    cosine: NDArray[np.float32]
    """`[capacity, head_dim / 2]`; no columns where positions are learned."""
    sine: NDArray[np.float32]


class Scratch(NamedTuple):
    """Memory between the steps of one token. The first four are shared; the others have one row per worker."""

    residual: Vector
    qkv: Vector
    hidden: Vector
    parts: NDArray[np.float32]
    """`[n_heads, chunks, head_dim + 2]`"""
    inputs: NDArray[np.float32]
    codes: NDArray[np.int16]
    scales: NDArray[np.float32]
    sums: NDArray[np.float32]
    heads: NDArray[np.float32]
    scores: NDArray[np.float32]
    outputs: NDArray[np.float32]


def new_scratch(model: Model, n_workers: int, capacity: int) -> Scratch:
    """Return scratch memory for contexts up to `capacity` positions."""
    shape = model.shape
    widest_in = max(shape.hidden, shape.n_heads * shape.head_dim, shape.intermediate)
    widest_out = max((2 if shape.gated else 1) * shape.intermediate, shape.hidden, shape.qkv_rows)
    n_chunks = n_workers * (1 + capacity // (CHUNK * n_workers))

    def zeros(*size: int) -> NDArray[np.float32]:
        return np.zeros(size, np.float32)

    return Scratch(
        residual=zeros(shape.hidden),
        qkv=zeros(shape.qkv_rows),
        hidden=zeros(shape.intermediate),
        parts=zeros(shape.n_heads, n_chunks, shape.head_dim + 2),
        inputs=zeros(n_workers, widest_in),
        codes=np.zeros((n_workers, widest_in + INT4_LANES), np.int16),
        scales=zeros(n_workers, 16),
        sums=zeros(n_workers, (widest_in + INT4_LANES) // INT4_BLOCK),
        heads=zeros(n_workers, 2 * shape.head_dim),
        scores=zeros(n_workers, CHUNK),
        outputs=zeros(n_workers, widest_out),
    )


@kernel
def inputs_of(scratch: Scratch, worker: int) -> Inputs:
    """Return the part of the scratch memory that holds a worker's input vector."""
    return Inputs(scratch.inputs[worker], scratch.codes[worker], scratch.scales[worker], scratch.sums[worker])


@kernel
def _project_qkv(layer: int, worker: int, n_workers: int, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`qkv = W · norm(x) + b`: queries, keys and values in one product."""
    norm(scratch.residual, model.vectors.attention_norm[layer], model.vectors.attention_norm_bias[layer], model.shape.epsilon,
         inputs.values[: model.shape.hidden])  # fmt: skip
    prepare_inputs(model.qkv, inputs, model.shape.hidden)
    first, last = share(model.shape.qkv_rows, worker, n_workers)
    multiply(model.qkv, layer, first, last, inputs, scratch.qkv)
    bias = model.vectors.qkv_bias[layer]
    if bias.size:
        add(scratch.qkv[first:last], bias[first:last])


@kernel
def _head(
    qkv: Vector, index: int, norms: Vector, model: Model, cache: Cache, position: int, space: Vector, out: Vector
) -> None:
    """Bring one head of queries or keys into its final form: normalised (Qwen3), then rotated."""
    head_dim = model.shape.head_dim
    head = qkv[index * head_dim : (index + 1) * head_dim]
    if norms.size:
        norm(head, norms, norms[:0], model.shape.epsilon, space)
        rotate(space, cache.cosine[position], cache.sine[position], out)
    else:
        rotate(head, cache.cosine[position], cache.sine[position], out)


@kernel
def _attend(
    layer: int, worker: int, n_workers: int, model: Model, cache: Cache, scratch: Scratch, position: int
) -> None:
    """Attention of this worker's units, each one KV head and one chunk of positions; see `kernels_attention`.

    The new key and value are stored by whoever has the last chunk of their head, the only one that reads them.
    """
    shape = model.shape
    head_dim, group = shape.head_dim, shape.n_heads // shape.n_kv_heads
    start = max(0, position + 1 - model.vectors.windows[layer])
    length = position + 1 - start
    n_chunks = chunks_of(length, n_workers)
    first, last = share(shape.n_kv_heads * n_chunks, worker, n_workers)
    query, space = scratch.heads[worker][:head_dim], scratch.heads[worker][head_dim:]
    for unit in range(first, last):
        kv_head, chunk = unit // n_chunks, unit % n_chunks
        begin, end = share(length, chunk, n_chunks)
        begin, end = start + begin, start + end
        keys, values = cache.keys[layer, kv_head], cache.values[layer, kv_head]
        if chunk == n_chunks - 1:
            _head(
                scratch.qkv,
                shape.n_heads + kv_head,
                model.vectors.key_norm[layer],
                model,
                cache,
                position,
                space,
                keys[position],
            )
            value = (shape.n_heads + shape.n_kv_heads + kv_head) * head_dim
            values[position, :] = scratch.qkv[value : value + head_dim]
        for head in range(kv_head * group, (kv_head + 1) * group):
            _head(scratch.qkv, head, model.vectors.query_norm[layer], model, cache, position, space, query)
            attend_chunk(query, keys[begin:end], values[begin:end], model.vectors.attention_scales[layer],
                         scratch.scores[worker], scratch.parts[head, chunk])  # fmt: skip


@kernel
def _project_attention(
    layer: int, worker: int, n_workers: int, model: Model, scratch: Scratch, inputs: Inputs, n_chunks: int
) -> None:
    """`x += W · attention + b`"""
    shape = model.shape
    for head in range(shape.n_heads):
        combine_chunks(
            scratch.parts[head][:n_chunks], inputs.values[head * shape.head_dim : (head + 1) * shape.head_dim]
        )
    prepare_inputs(model.attention_out, inputs, shape.n_heads * shape.head_dim)
    _add_product(
        model.attention_out, model.vectors.attention_out_bias[layer], layer, worker, n_workers, scratch, inputs
    )


@kernel
def _add_product(matrix, bias, layer, worker, n_workers, scratch, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """`x += W · inputs + b`, on the rows of this worker."""
    first, last = share(scratch.residual.size, worker, n_workers)
    outputs = scratch.outputs[worker]
    multiply(matrix, layer, first, last, inputs, outputs)
    add(scratch.residual[first:last], outputs[first:last])
    if bias.size:
        add(scratch.residual[first:last], bias[first:last])


@kernel
def _feed_in(layer: int, worker: int, n_workers: int, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`hidden = silu(W_gate · n) · (W_up · n)` or `gelu(W · n + b)`, with `n = norm(x)`."""
    shape = model.shape
    norm(
        scratch.residual,
        model.vectors.feed_norm[layer],
        model.vectors.feed_norm_bias[layer],
        shape.epsilon,
        inputs.values[: shape.hidden],
    )
    prepare_inputs(model.feed_in, inputs, shape.hidden)
    first, last = share(shape.intermediate, worker, n_workers)
    rows = 2 if shape.gated else 1
    outputs = scratch.outputs[worker]
    multiply(model.feed_in, layer, rows * first, rows * last, inputs, outputs)
    bias = model.vectors.feed_in_bias[layer]
    mine = outputs[rows * first : rows * last]
    if bias.size:
        add(mine, bias[rows * first : rows * last])
    if shape.gated:
        silu_gate(mine, scratch.hidden[first:last])
    else:
        gelu(mine, scratch.hidden[first:last])


@kernel
def _feed_out(layer: int, worker: int, n_workers: int, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`x += W · hidden + b`"""
    n_hidden = model.shape.intermediate
    inputs.values[:n_hidden] = scratch.hidden
    prepare_inputs(model.feed_out, inputs, n_hidden)
    _add_product(model.feed_out, model.vectors.feed_out_bias[layer], layer, worker, n_workers, scratch, inputs)


@kernel
def project_logits(worker: int, n_workers: int, model: Model, scratch: Scratch, inputs: Inputs, logits: Vector) -> None:
    """`logits = W_head · norm(x)`"""
    norm(
        scratch.residual,
        model.vectors.final_norm,
        model.vectors.final_norm_bias,
        model.shape.epsilon,
        inputs.values[: model.shape.hidden],
    )
    prepare_inputs(model.head, inputs, model.shape.hidden)
    first, last = share(logits.size, worker, n_workers)
    multiply(model.head, 0, first, last, inputs, logits)


@kernel
def _through_layers(
    worker: int, n_workers: int, team: NDArray[np.int64], model: Model, cache: Cache, scratch: Scratch, position: int
) -> None:
    """Take the vector in `scratch.residual` through all layers."""
    inputs = inputs_of(scratch, worker)
    for layer in range(model.vectors.windows.size):
        _project_qkv(layer, worker, n_workers, model, scratch, inputs)
        barrier(team, n_workers)
        _attend(layer, worker, n_workers, model, cache, scratch, position)
        barrier(team, n_workers)
        n_chunks = chunks_of(min(position + 1, model.vectors.windows[layer]), n_workers)
        _project_attention(layer, worker, n_workers, model, scratch, inputs, n_chunks)
        barrier(team, n_workers)
        _feed_in(layer, worker, n_workers, model, scratch, inputs)
        barrier(team, n_workers)
        _feed_out(layer, worker, n_workers, model, scratch, inputs)
        barrier(team, n_workers)


@entry
def decode_tokens(
    worker: int, n_workers: int, team: NDArray[np.int64], seen: int,
    model: Model, cache: Cache, scratch: Scratch, logits: Vector,
) -> int:  # fmt: skip
    """Do this worker's share of each token ordered; see `Team`.

    The token's embedding is in `scratch.residual`; its logits are left in `logits`.
    """
    while await_order(team, worker, seen):
        seen += 1
        _through_layers(worker, n_workers, team, model, cache, scratch, order_of(team))
        project_logits(worker, n_workers, model, scratch, inputs_of(scratch, worker), logits)
        barrier(team, n_workers)
        if worker == 0:
            break
    return seen
