"""A token from embedding to logits, in one compiled call; or a few tokens at once, where they have been guessed.

Every worker runs the same function on its share of the rows. Five barriers a layer, up to three more where norms are
taken of what a layer adds or of all heads: a worker may read what all have written only after one. Norms and other
short work on whole vectors is done by every worker for itself, into memory of its own: that is cheaper than one more
barrier.

Several tokens get the bits that each would get alone: every kernel treats a vector the same whatever stands beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.cache import Cache, put_key, put_value
from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.kernels.attention import CHUNK, attend_chunk, chunks_of, combine_chunks
from tuibench.engines.fused.kernels.heads import finish_head, normalise_together
from tuibench.engines.fused.kernels.matrix import Inputs, Tokens, multiply, new_inputs, part_of, prepare_inputs
from tuibench.engines.fused.kernels.vector import Vector, activate, add, cap, copy, norm
from tuibench.engines.fused.matrices import LANES, Matrix, padded
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.reference import by_reference
from tuibench.engines.fused.team import barrier, share, task_of, wait_for_task


class Scratch(NamedTuple):
    """Memory between the steps of up to n tokens. The first five are shared; the others have one part per worker."""

    residual: Tokens
    """`[n, hidden]`"""
    qkv: Tokens
    hidden: Tokens
    update: Tokens
    """What is to be added to the residual, where a norm of it is."""
    parts: NDArray[np.float32]
    """`[n, n_heads, chunks, whole panels of head_dim, then two numbers]`, see `kernels_attention`."""
    inputs: Inputs
    """n rows a worker."""
    queries: Inputs
    """A row a worker for each query head that shares a KV head, as in the next."""
    weights: Inputs
    """Of the positions of a chunk."""
    heads: NDArray[np.float32]
    """`[workers, 2 · head_dim]`"""
    outputs: NDArray[np.float32]
    """`[workers, n, outputs]`"""


def new_scratch(model: Model, n_workers: int, capacity: int, n_tokens: int = 1) -> Scratch:
    """Return scratch memory for contexts up to `capacity` positions and `n_tokens` at once."""
    shape = model.shape
    widest_in = max(shape.hidden, shape.n_heads * shape.head_dim, shape.intermediate)
    widest_out = max((2 if shape.gated else 1) * shape.intermediate, shape.hidden, shape.qkv_rows)
    # One panel more: a window need not begin with one.
    n_chunks, group = n_workers * (1 + (capacity + LANES) // (CHUNK * n_workers)), shape.n_heads // shape.n_kv_heads

    def zeros(*size: int) -> NDArray[np.float32]:
        return np.zeros(size, np.float32)

    return Scratch(
        residual=zeros(n_tokens, shape.hidden),
        qkv=zeros(n_tokens, padded(shape.qkv_rows, LANES)),
        hidden=zeros(n_tokens, shape.intermediate),
        update=zeros(n_tokens, shape.hidden),
        parts=zeros(n_tokens, shape.n_heads, n_chunks, padded(shape.head_dim, LANES) + 2),
        inputs=new_inputs(n_workers * n_tokens, widest_in),
        queries=new_inputs(n_workers * group, shape.head_dim),
        weights=new_inputs(n_workers * group, CHUNK),
        heads=zeros(n_workers, 2 * shape.head_dim),
        outputs=zeros(n_workers, n_tokens, padded(widest_out, LANES)),
    )


class Step(NamedTuple):
    """Which tokens are worked on, and whose share."""

    worker: int
    n_workers: int
    position: int
    """Of the first token."""
    n_tokens: int


@kernel
def panel_share(n_rows: int, worker: int, n_workers: int) -> tuple[int, int, int, int]:
    """Return the first panel of a worker and the first of the next, and the same in rows."""
    first, last = share((n_rows + LANES - 1) // LANES, worker, n_workers)
    return first, last, min(first * LANES, n_rows), min(last * LANES, n_rows)


@kernel
def _project_qkv(layer: int, step: Step, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`qkv = W · norm(x) + b`: queries, keys and values in one product."""
    shape, vectors = model.shape, model.vectors
    for t in range(step.n_tokens):
        out = inputs.values[t][: shape.hidden]
        norm(scratch.residual[t], vectors.attention_norm[layer], vectors.attention_norm_bias[layer], shape.epsilon, out)
        prepare_inputs(model.qkv, inputs, t, shape.hidden)
    first, last, begin, end = panel_share(shape.qkv_rows, step.worker, step.n_workers)
    multiply(model.qkv, layer, first, last, inputs, step.n_tokens, scratch.qkv)
    bias = vectors.qkv_bias[layer]
    if bias.size:
        for t in range(step.n_tokens):
            add(scratch.qkv[t][begin:end], bias[begin:end])


@kernel
def _head(
    layer: int, qkv: Vector, index: int, model: Model, cache: Cache, position: int, space: Vector, out: Vector
) -> None:
    """Bring one head of queries or keys into its final form."""
    shape, vectors = model.shape, model.vectors
    head = qkv[index * shape.head_dim : (index + 1) * shape.head_dim]
    norms = vectors.query_norm[layer] if index < shape.n_heads else vectors.key_norm[layer]
    n_pairs, table = vectors.rotated_pairs[layer], vectors.rotations[layer]
    cosine, sine = cache.cosine[table, position][:n_pairs], cache.sine[table, position][:n_pairs]
    finish_head(head, norms, shape.norm_after_rotation, shape.epsilon, cosine, sine, space, out)


@kernel
def normalise_all_heads(layer: int, qkv: Vector, model: Model) -> None:
    """Normalise the queries, and the keys, of all heads together, where a model does that."""
    shape, vectors = model.shape, model.vectors
    n_queries, n_keys = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    normalise_together(qkv[:n_queries], vectors.query_norm[layer], shape.head_dim, shape.epsilon)
    normalise_together(qkv[n_queries : n_queries + n_keys], vectors.key_norm[layer], shape.head_dim, shape.epsilon)


@kernel
def _normalise_tokens(layer: int, step: Step, team: NDArray[np.int64], model: Model, scratch: Scratch) -> None:
    """Do that, token by token, before any head is used."""
    if model.vectors.query_norm[layer].size > model.shape.head_dim:
        first, last = share(step.n_tokens, step.worker, step.n_workers)
        for t in range(first, last):
            normalise_all_heads(layer, scratch.qkv[t], model)
        barrier(team, step.n_workers)


@kernel
def _store_key_and_value(
    layer: int, kv_head: int, qkv: Vector, model: Model, cache: Cache, position: int, space: Vector
) -> None:
    shape = model.shape
    index, key = layer * shape.n_kv_heads + kv_head, space[: shape.head_dim]
    _head(layer, qkv, shape.n_heads + kv_head, model, cache, position, space[shape.head_dim :], key)
    put_key(cache.store, index, position, key)
    value = (shape.n_heads + shape.n_kv_heads + kv_head) * shape.head_dim
    put_value(cache.store, index, position, qkv[value : value + shape.head_dim])


@kernel
def _store_all(layer: int, step: Step, team: NDArray[np.int64], model: Model, cache: Cache, scratch: Scratch) -> None:
    """Store the keys and values of several tokens, before any is attended to."""
    space = scratch.heads[step.worker]
    first, last = share(model.shape.n_kv_heads, step.worker, step.n_workers)
    for kv_head in range(first, last):
        for t in range(step.n_tokens):
            _store_key_and_value(layer, kv_head, scratch.qkv[t], model, cache, step.position + t, space)
    barrier(team, step.n_workers)


@kernel
def _attend(layer: int, step: Step, token: int, model: Model, cache: Cache, scratch: Scratch) -> None:
    """Attention of this worker's units of one token, each one KV head and one chunk of positions.

    See `kernels_attention`. A single token's key and value are stored by whoever has the last chunk of their head, the
    only one that reads them.
    """
    shape, position, qkv = model.shape, step.position + token, scratch.qkv[token]
    group = shape.n_heads // shape.n_kv_heads
    start, end = max(0, position + 1 - model.vectors.windows[layer]), position + 1
    n_panels, n_chunks = chunks_of(start, end, step.n_workers)
    queries, weights = part_of(scratch.queries, step.worker, group), part_of(scratch.weights, step.worker, group)
    space, scale = scratch.heads[step.worker], model.vectors.attention_scales[layer]
    first, last = share(shape.n_kv_heads * n_chunks, step.worker, step.n_workers)
    for unit in range(first, last):
        kv_head, chunk = unit // n_chunks, unit % n_chunks
        index, heads = layer * shape.n_kv_heads + kv_head, kv_head * group
        if step.n_tokens == 1 and chunk == n_chunks - 1:
            _store_key_and_value(layer, kv_head, qkv, model, cache, position, space)
        if unit == first or chunk == 0:
            for i in range(group):
                query = queries.values[i][: shape.head_dim]
                _head(layer, qkv, heads + i, model, cache, position, space[shape.head_dim :], query)
                prepare_inputs(cache.store.keys, queries, i, shape.head_dim)
        begin, behind = share(n_panels, chunk, n_chunks)
        positions = (max(start, (start // LANES + begin) * LANES), min(end, (start // LANES + behind) * LANES))
        out = scratch.parts[token, heads : heads + group, chunk]
        attend_chunk(cache.store, index, positions, queries, group, scale, np.float32(shape.softcap), weights, out)


@kernel
def _project_attention(
    layer: int, step: Step, team: NDArray[np.int64], model: Model, scratch: Scratch, inputs: Inputs
) -> None:
    """`x += W · attention + b`, or its norm."""
    shape, vectors = model.shape, model.vectors
    for t in range(step.n_tokens):
        end = step.position + t + 1
        n_chunks = chunks_of(max(0, end - model.vectors.windows[layer]), end, step.n_workers)[1]
        for head in range(shape.n_heads):
            out = inputs.values[t][head * shape.head_dim : (head + 1) * shape.head_dim]
            combine_chunks(scratch.parts[t, head][:n_chunks], out)
        prepare_inputs(model.attention_out, inputs, t, shape.n_heads * shape.head_dim)
    weight, bias = vectors.attention_out_norm[layer], vectors.attention_out_norm_bias[layer]
    if weight.size:
        _write_product(model.attention_out, vectors.attention_out_bias[layer], layer, step, scratch, inputs)
        barrier(team, step.n_workers)
        _add_norm(weight, bias, shape.epsilon, step, scratch)
    else:
        _add_product(model.attention_out, vectors.attention_out_bias[layer], layer, step, scratch, inputs)


@kernel
def _add_product(matrix: Matrix, bias: Vector, layer: int, step: Step, scratch: Scratch, inputs: Inputs) -> None:
    """`x += W · inputs + b`, on the rows of this worker."""
    first, last, begin, end = panel_share(scratch.residual.shape[1], step.worker, step.n_workers)
    outputs = scratch.outputs[step.worker]
    multiply(matrix, layer, first, last, inputs, step.n_tokens, outputs)
    for t in range(step.n_tokens):
        add(scratch.residual[t][begin:end], outputs[t][begin:end])
        if bias.size:
            add(scratch.residual[t][begin:end], bias[begin:end])


@kernel
def _write_product(matrix: Matrix, bias: Vector, layer: int, step: Step, scratch: Scratch, inputs: Inputs) -> None:
    """`update = W · inputs + b`, on the rows of this worker."""
    first, last, begin, end = panel_share(scratch.residual.shape[1], step.worker, step.n_workers)
    outputs = scratch.outputs[step.worker]
    multiply(matrix, layer, first, last, inputs, step.n_tokens, outputs)
    for t in range(step.n_tokens):
        copy(outputs[t][begin:end], scratch.update[t][begin:end])
        if bias.size:
            add(scratch.update[t][begin:end], bias[begin:end])


@kernel
def _add_norm(weight: Vector, bias: Vector, epsilon: float, step: Step, scratch: Scratch) -> None:
    """`x += norm(update)`, on the rows of this worker; each computes all of the norm for itself."""
    begin, end = panel_share(scratch.residual.shape[1], step.worker, step.n_workers)[2:]
    for t in range(step.n_tokens):
        normed = scratch.outputs[step.worker, t][: weight.size]
        norm(scratch.update[t], weight, bias, epsilon, normed)
        add(scratch.residual[t][begin:end], normed[begin:end])


@kernel
def _feed_in(layer: int, step: Step, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`hidden = act(W_gate · n + b) · (W_up · n + b)` or `act(W · n + b)`, with `n = norm(x)`."""
    shape, vectors = model.shape, model.vectors
    for t in range(step.n_tokens):
        out = inputs.values[t][: shape.hidden]
        norm(scratch.residual[t], vectors.feed_norm[layer], vectors.feed_norm_bias[layer], shape.epsilon, out)
        prepare_inputs(model.mlp_up, inputs, t, shape.hidden)
    rows = 2 if shape.gated else 1
    first, last, begin, end = panel_share(rows * shape.intermediate, step.worker, step.n_workers)
    outputs = scratch.outputs[step.worker]
    multiply(model.mlp_up, layer, first, last, inputs, step.n_tokens, outputs)
    bias = vectors.mlp_up_bias[layer]
    for t in range(step.n_tokens):
        mine, hidden = outputs[t][begin:end], scratch.hidden[t]
        if bias.size:
            add(mine, bias[begin:end])
        activate(mine, shape.activation, shape.gated, hidden[begin // rows : end // rows])


@kernel
def _feed_out(layer: int, step: Step, team: NDArray[np.int64], model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`x += W · hidden + b`, or its norm."""
    n_hidden, vectors = model.shape.intermediate, model.vectors
    for t in range(step.n_tokens):
        copy(scratch.hidden[t], inputs.values[t])
        prepare_inputs(model.mlp_down, inputs, t, n_hidden)
    weight, bias = vectors.mlp_down_norm[layer], vectors.mlp_down_norm_bias[layer]
    if weight.size:
        _write_product(model.mlp_down, vectors.mlp_down_bias[layer], layer, step, scratch, inputs)
        barrier(team, step.n_workers)
        _add_norm(weight, bias, model.shape.epsilon, step, scratch)
    else:
        _add_product(model.mlp_down, vectors.mlp_down_bias[layer], layer, step, scratch, inputs)


@kernel
def cap_logits(softcap: float, first: int, last: int, n_tokens: int, logits: Tokens) -> None:
    """`logits = softcap · tanh(logits / softcap)`, those of the panels `first ≤ p < last`; 0: they stay as they are."""
    if softcap > 0:
        for t in range(n_tokens):
            cap(logits[t][first * LANES : last * LANES], np.float32(1), np.float32(softcap))


@kernel
def project_logits(step: Step, model: Model, scratch: Scratch, inputs: Inputs, logits: Tokens) -> None:
    """`logits = W_head · norm(x)`, capped where the model does that."""
    shape, vectors = model.shape, model.vectors
    for t in range(step.n_tokens):
        out = inputs.values[t][: shape.hidden]
        norm(scratch.residual[t], vectors.final_norm, vectors.final_norm_bias, shape.epsilon, out)
        prepare_inputs(model.head, inputs, t, shape.hidden)
    first, last = share(logits.shape[1] // LANES, step.worker, step.n_workers)
    multiply(model.head, 0, first, last, inputs, step.n_tokens, logits)
    cap_logits(shape.logit_softcap, first, last, step.n_tokens, logits)


@kernel
def _through_layers(
    step: Step, team: NDArray[np.int64], model: Model, cache: Cache, scratch: Scratch, inputs: Inputs
) -> None:
    """Take the vectors in `scratch.residual` through all layers."""
    for layer in range(model.vectors.windows.size):
        _project_qkv(layer, step, model, scratch, inputs)
        barrier(team, step.n_workers)
        _normalise_tokens(layer, step, team, model, scratch)
        if step.n_tokens > 1:
            _store_all(layer, step, team, model, cache, scratch)
        for t in range(step.n_tokens):
            _attend(layer, step, t, model, cache, scratch)
        barrier(team, step.n_workers)
        _project_attention(layer, step, team, model, scratch, inputs)
        barrier(team, step.n_workers)
        _feed_in(layer, step, model, scratch, inputs)
        barrier(team, step.n_workers)
        _feed_out(layer, step, team, model, scratch, inputs)
        barrier(team, step.n_workers)


@entry
def decode_tokens(
    worker: int, n_workers: int, team: NDArray[np.int64], seen: int,
    model_: Model, cache_: Cache, scratch_: Scratch, logits: Tokens,
) -> int:  # fmt: skip
    """Do this worker's share of each order, a position and how many tokens from there on; see `Team`.

    The embedded tokens are in `scratch.residual`; their logits are left in `logits`, `[tokens, whole panels]`.
    """
    model, cache, scratch = by_reference(model_), by_reference(cache_), by_reference(scratch_)
    while wait_for_task(team, worker, seen):
        seen += 1
        position, n_tokens = task_of(team)
        step = Step(worker, n_workers, position, n_tokens)
        inputs = part_of(scratch.inputs, worker, scratch.residual.shape[0])
        _through_layers(step, team, model, cache, scratch, inputs)
        project_logits(step, model, scratch, inputs, logits)
        barrier(team, n_workers)
        if worker == 0:
            break
    return seen
