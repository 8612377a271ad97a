"""A token from embedding to logits, in one compiled call; or a few at once: guessed ones, or one of each sequence.

Every worker runs the same function on its share of the rows. Five barriers a layer, up to three more where norms are
taken of what a layer adds or of all heads, and one where experts are picked: a worker may read what all have written
only after one. Norms and other short work on whole vectors is done by every worker for itself, into memory of its own:
that is cheaper than one more barrier.

Several tokens get the bits that each would get alone: every kernel treats a vector the same whatever stands beside it,
and attention is each token's own, over the part of the cache that `scratch` names for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import Inputs, Scratch, Tokens
from tuibench.engines.fused.cache import Cache
from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.convolutions import convolve_tokens, is_convolution
from tuibench.engines.fused.experts import feed_experts
from tuibench.engines.fused.kernels.attention import attend_chunk, chunks_of, combine_chunks
from tuibench.engines.fused.kernels.heads import sink_of
from tuibench.engines.fused.kernels.matrix import multiply, part_of, prepare_inputs
from tuibench.engines.fused.kernels.store import put_key, put_value
from tuibench.engines.fused.kernels.team import barrier, panel_share, share, task_of, wait_for_task
from tuibench.engines.fused.kernels.vector import Vector, activate, add, cap, copy, norm
from tuibench.engines.fused.layer_inputs import begin_layers, end_layer
from tuibench.engines.fused.matrices import LANES
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.places import finish_value, head_of, matrix_of, normalise_all_heads, of_width
from tuibench.engines.fused.products import Step, add_norm, add_product, write_product
from tuibench.engines.fused.reference import by_reference


@kernel
def _project_qkv(layer: int, step: Step, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`qkv = W · norm(x) + b`: queries, keys and values, or what a convolution reads, in one product."""
    shape, layers, vectors = model.shape, model.layers, model.vectors
    for t in range(step.n_tokens):
        out = inputs.values[t][: shape.hidden]
        norm(scratch.residual[t], vectors.attention_norm[layer], vectors.attention_norm_bias[layer], shape.epsilon, out)
        prepare_inputs(model.qkv, inputs, t, shape.hidden)
    matrix = of_width(layers.wide_heads[layer], model.qkv, model.wide_qkv)
    first, last, begin, end = panel_share(layers.qkv_rows[layer], step.worker, step.n_workers)
    multiply(matrix, layers.places[layer], first, last, inputs, step.n_tokens, scratch.qkv)
    bias = vectors.qkv_bias[layer]
    if bias.size:
        for t in range(step.n_tokens):
            add(scratch.qkv[t][begin:end], bias[begin:end])


@kernel
def _normalise_tokens(layer: int, step: Step, team: NDArray[np.int64], model: Model, scratch: Scratch) -> None:
    """Do that, token by token, before any head is used."""
    if model.layers.query_norms[layer] > model.layers.head_dims[layer]:
        first, last = share(step.n_tokens, step.worker, step.n_workers)
        for t in range(first, last):
            normalise_all_heads(layer, scratch.qkv[t], model)
        barrier(team, step.n_workers)


@kernel
def _store_key_and_value(
    layer: int, kv_head: int, token: int, model: Model, cache: Cache, scratch: Scratch, space: Vector
) -> None:
    head_dim, position, qkv = model.layers.head_dims[layer], scratch.positions[token], scratch.qkv[token]
    index, key = matrix_of(layer, kv_head, scratch.sequences[token], model), space[:head_dim]
    store = of_width(model.layers.wide_heads[layer], cache.store, cache.wide_store)
    head_of(layer, qkv, model.shape.n_heads + kv_head, model, cache, position, space[head_dim:], key)
    put_key(store, index, position, key)
    start = finish_value(layer, qkv, kv_head, model)
    put_value(store, index, position, qkv[start : start + head_dim])


@kernel
def _store_all(layer: int, step: Step, team: NDArray[np.int64], model: Model, cache: Cache, scratch: Scratch) -> None:
    """Store the keys and values of several tokens, before any is attended to."""
    space = scratch.heads[step.worker]
    first, last = share(model.layers.n_kv_heads[layer], step.worker, step.n_workers)
    for kv_head in range(first, last):
        for t in range(step.n_tokens):
            _store_key_and_value(layer, kv_head, t, model, cache, scratch, space)
    barrier(team, step.n_workers)


@kernel
def _attend(layer: int, step: Step, token: int, model: Model, cache: Cache, scratch: Scratch) -> None:
    """Attention of this worker's units of one token, each one KV head and one chunk of positions.

    See `kernels_attention`. A single token's key and value are stored by whoever has the last chunk of their head, the
    only one that reads them.
    """
    shape, position, qkv = model.shape, scratch.positions[token], scratch.qkv[token]
    head_dim, n_kv_heads = model.layers.head_dims[layer], model.layers.n_kv_heads[layer]
    store = of_width(model.layers.wide_heads[layer], cache.store, cache.wide_store)
    group, stores = shape.n_heads // n_kv_heads, step.n_tokens == 1 and model.layers.own_keys[layer] != 0
    start, end = max(0, position + 1 - model.vectors.windows[layer]), position + 1
    n_panels, n_chunks = chunks_of(start, end, step.n_workers)
    queries, weights = part_of(scratch.queries, step.worker, group), part_of(scratch.weights, step.worker, group)
    space, scale = scratch.heads[step.worker], model.vectors.attention_scales[layer]
    first, last = share(n_kv_heads * n_chunks, step.worker, step.n_workers)
    for unit in range(first, last):
        kv_head, chunk = unit // n_chunks, unit % n_chunks
        index, heads = matrix_of(layer, kv_head, scratch.sequences[token], model), kv_head * group
        if stores and chunk == n_chunks - 1:
            _store_key_and_value(layer, kv_head, token, model, cache, scratch, space)
        if unit == first or chunk == 0:
            for i in range(group):
                query = queries.values[i][:head_dim]
                head_of(layer, qkv, heads + i, model, cache, position, space[head_dim:], query)
                prepare_inputs(store.keys, queries, i, head_dim)
        begin, behind = share(n_panels, chunk, n_chunks)
        positions = (max(start, (start // LANES + begin) * LANES), min(end, (start // LANES + behind) * LANES))
        out = scratch.parts[token, heads : heads + group, chunk]
        attend_chunk(store, index, positions, queries, group, scale, np.float32(shape.softcap), weights, head_dim, out)


@kernel
def _project_attention(
    layer: int, step: Step, team: NDArray[np.int64], model: Model, scratch: Scratch, inputs: Inputs
) -> None:
    """`x += W · attention + b`, or its norm; where the feed-forward is yet to read `x`, that is left in `update`.

    Where a layer has a convolution, that stands for attention.
    """
    shape, vectors, head_dim = model.shape, model.vectors, model.layers.head_dims[layer]
    matrix = of_width(model.layers.wide_heads[layer], model.attention_out, model.wide_attention_out)
    place = model.layers.places[layer]
    for t in range(step.n_tokens):
        if is_convolution(model.convolutions, layer, model):
            copy(scratch.qkv[t][: shape.hidden], inputs.values[t])
            prepare_inputs(model.attention_out, inputs, t, shape.hidden)
            continue
        end = scratch.positions[t] + 1
        n_chunks = chunks_of(max(0, end - model.vectors.windows[layer]), end, step.n_workers)[1]
        for head in range(shape.n_heads):
            out = inputs.values[t][head * head_dim : (head + 1) * head_dim]
            combine_chunks(scratch.parts[t, head][:n_chunks], sink_of(vectors.sinks[layer], head), out)
        prepare_inputs(model.attention_out, inputs, t, shape.n_heads * head_dim)
    weight, bias = vectors.attention_out_norm[layer], vectors.attention_out_norm_bias[layer]
    if weight.size:
        write_product(matrix, vectors.attention_out_bias[layer], place, step, scratch, inputs)
        barrier(team, step.n_workers)
        add_norm(weight, bias, shape.epsilon, step, scratch)
    elif shape.parallel:
        write_product(matrix, vectors.attention_out_bias[layer], place, step, scratch, inputs)
    else:
        add_product(matrix, vectors.attention_out_bias[layer], place, step, scratch, inputs)


@kernel
def _feed_in(layer: int, step: Step, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`hidden = act(W_gate · n + b) · (W_up · n + b)` or `act(W · n + b)`, with `n = norm(x)`."""
    shape, layers, vectors = model.shape, model.layers, model.vectors
    for t in range(step.n_tokens):
        out = inputs.values[t][: shape.hidden]
        norm(scratch.residual[t], vectors.feed_norm[layer], vectors.feed_norm_bias[layer], shape.epsilon, out)
        prepare_inputs(model.mlp_up, inputs, t, shape.hidden)
    rows = 2 if shape.gated else 1
    matrix = of_width(layers.wide_feeds[layer], model.mlp_up, model.wide_mlp_up)
    first, last, begin, end = panel_share(rows * layers.widths[layer], step.worker, step.n_workers)
    outputs = scratch.outputs[step.worker]
    multiply(matrix, layers.feed_places[layer], first, last, inputs, step.n_tokens, outputs)
    bias = vectors.mlp_up_bias[layer]
    for t in range(step.n_tokens):
        mine, hidden = outputs[t][begin:end], scratch.hidden[t]
        if bias.size:
            add(mine, bias[begin:end])
        activate(mine, shape.activation, shape.gated, hidden[begin // rows : end // rows])


@kernel
def _feed_out(layer: int, step: Step, team: NDArray[np.int64], model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`x += W · hidden + b`, or its norm; and what attention left in `update`."""
    layers, vectors = model.layers, model.vectors
    n_hidden, place = layers.widths[layer], layers.feed_places[layer]
    matrix = of_width(layers.wide_feeds[layer], model.mlp_down, model.wide_mlp_down)
    for t in range(step.n_tokens):
        copy(scratch.hidden[t][:n_hidden], inputs.values[t])
        prepare_inputs(model.mlp_down, inputs, t, n_hidden)
    weight, bias = vectors.mlp_down_norm[layer], vectors.mlp_down_norm_bias[layer]
    if weight.size:
        write_product(matrix, vectors.mlp_down_bias[layer], place, step, scratch, inputs)
        barrier(team, step.n_workers)
        add_norm(weight, bias, model.shape.epsilon, step, scratch)
    else:
        add_product(matrix, vectors.mlp_down_bias[layer], place, step, scratch, inputs)
        if model.shape.parallel:
            begin, end = panel_share(scratch.residual.shape[1], step.worker, step.n_workers)[2:]
            for t in range(step.n_tokens):
                add(scratch.residual[t][begin:end], scratch.update[t][begin:end])


@kernel
def _feed_experts(
    layer: int, step: Step, team: NDArray[np.int64], model: Model, scratch: Scratch, inputs: Inputs
) -> None:
    """`x += Σ weight · expert(norm(x))`; every worker computes all of the norms for itself."""
    shape, vectors = model.shape, model.vectors
    for t in range(step.n_tokens):
        out = inputs.values[t][: shape.hidden]
        norm(scratch.residual[t], vectors.feed_norm[layer], vectors.feed_norm_bias[layer], shape.epsilon, out)
    feed_experts(
        layer, step.worker, step.n_workers, team, model, inputs.values, scratch.residual, step.n_tokens, scratch.routing
    )


@kernel
def finish_logits(model: Model, first: int, last: int, n_tokens: int, logits: Tokens) -> None:
    """Add the head's bias to the logits of the panels `first ≤ p < last`, and cap them: `s · tanh(logits / s)`."""
    bias, softcap = model.vectors.head_bias, model.shape.logit_softcap
    for t in range(n_tokens):
        mine = logits[t][first * LANES : last * LANES]
        if bias.size:
            add(mine, bias[first * LANES : last * LANES])
        if softcap > 0:
            cap(mine, np.float32(1), np.float32(softcap))


@kernel
def project_logits(step: Step, model: Model, scratch: Scratch, inputs: Inputs, logits: Tokens) -> None:
    """`logits = W_head · norm(x) + b`, capped where the model does that."""
    shape, vectors = model.shape, model.vectors
    for t in range(step.n_tokens):
        out = inputs.values[t][: shape.hidden]
        norm(scratch.residual[t], vectors.final_norm, vectors.final_norm_bias, shape.epsilon, out)
        prepare_inputs(model.head, inputs, t, shape.hidden)
    first, last = share(logits.shape[1] // LANES, step.worker, step.n_workers)
    multiply(model.head, 0, first, last, inputs, step.n_tokens, logits)
    finish_logits(model, first, last, step.n_tokens, logits)


@kernel
def _through_layers(
    step: Step, team: NDArray[np.int64], model: Model, cache: Cache, scratch: Scratch, inputs: Inputs
) -> None:
    """Take the vectors in `scratch.residual` through all layers."""
    begin_layers(model.layer_projection, step, team, model, scratch, inputs)
    for layer in range(model.vectors.windows.size):
        _project_qkv(layer, step, model, scratch, inputs)
        barrier(team, step.n_workers)
        if is_convolution(model.convolutions, layer, model):
            convolve_tokens(model.convolutions, layer, step, model, cache, scratch)
        else:
            _normalise_tokens(layer, step, team, model, scratch)
            if step.n_tokens > 1 and model.layers.own_keys[layer]:
                _store_all(layer, step, team, model, cache, scratch)
            for t in range(step.n_tokens):
                _attend(layer, step, t, model, cache, scratch)
        barrier(team, step.n_workers)
        _project_attention(layer, step, team, model, scratch, inputs)
        barrier(team, step.n_workers)
        if model.shape.n_experts:
            _feed_experts(layer, step, team, model, scratch, inputs)
        else:
            _feed_in(layer, step, model, scratch, inputs)
            barrier(team, step.n_workers)
            _feed_out(layer, step, team, model, scratch, inputs)
        end_layer(model.input_gate, layer, step, team, model, scratch, inputs)
        barrier(team, step.n_workers)


@entry
def decode_tokens(
    worker: int, n_workers: int, team: NDArray[np.int64], seen: int,
    model_: Model, cache_: Cache, scratch_: Scratch, logits: Tokens,
) -> int:  # fmt: skip
    """Do this worker's share of each order, how many tokens; see `Team`.

    The embedded tokens are in `scratch.residual`, and their places beside them; their logits are left in `logits`,
    `[tokens, whole panels]`.
    """
    model, cache, scratch = by_reference(model_), by_reference(cache_), by_reference(scratch_)
    while wait_for_task(team, worker, seen):
        seen += 1
        step = Step(worker, n_workers, task_of(team)[1])
        inputs = part_of(scratch.inputs, worker, scratch.residual.shape[0])
        _through_layers(step, team, model, cache, scratch, inputs)
        project_logits(step, model, scratch, inputs, logits)
        barrier(team, n_workers)
        if worker == 0:
            break
    return seen
