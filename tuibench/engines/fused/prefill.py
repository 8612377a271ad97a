"""The prompt: the same layers as `decode`, on all its tokens at once, in one compiled call by the same team.

Products are shared out by rows, everything else by tokens; seven barriers a layer, and one before each norm of what is
added to the residual, or where the feed-forward reads what attention reads. Only the last position goes through the
output head. What a sequence has before the prompt is taken from the cache, layer by layer, for attention to read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import GROUP, QUERY_BLOCK, Prompt, Scratch, Tokens
from tuibench.engines.fused.cache import Cache
from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.convolutions import convolve_prompt, is_convolution
from tuibench.engines.fused.decode import finish_logits, project_logits
from tuibench.engines.fused.experts import feed_experts
from tuibench.engines.fused.kernels.groups import multiply_groups, prepare_group_inputs
from tuibench.engines.fused.kernels.heads import sink_of
from tuibench.engines.fused.kernels.matrix import part_of
from tuibench.engines.fused.kernels.prompt_attention import attend_block
from tuibench.engines.fused.kernels.store import get_key, get_value, put_key, put_value
from tuibench.engines.fused.kernels.team import barrier, share, task_of, wait_for_task
from tuibench.engines.fused.kernels.vector import Vector, activate, copy, norm
from tuibench.engines.fused.matrices import LANES
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.places import finish_value, head_of, matrix_of, normalise_all_heads, of_width
from tuibench.engines.fused.products import Step
from tuibench.engines.fused.prompt_layer_inputs import begin_prompt, end_prompt_layer
from tuibench.engines.fused.prompt_products import add_outputs, add_update, norm_inputs, project
from tuibench.engines.fused.reference import by_reference

_FEW_BLOCKS = 2
"""Blocks a worker, below which one may have twice as much to do as another: heads are finer, at one barrier more."""


@kernel
def _final_head(layer: int, token: int, index: int, model: Model, cache: Cache, prompt: Prompt, space: Vector) -> None:
    """Leave a head of queries or keys in its final form, in the first half of `space`."""
    head_dim, position = model.layers.head_dims[layer], prompt.n_before + token
    head_of(layer, prompt.outputs[token], index, model, cache, position, space[head_dim:], space[:head_dim])


@kernel
def _place_heads(layer: int, first: int, last: int, model: Model, cache: Cache, prompt: Prompt, space: Vector) -> None:
    """Put the heads of some tokens where attention wants them, and keys and values into the cache, too.

    Head by head: what is written then stays in the first-level cache until it is whole.
    """
    n_heads, head_dim, heads = model.shape.n_heads, model.layers.head_dims[layer], prompt.heads
    for token in range(first, last):
        normalise_all_heads(layer, prompt.outputs[token], model)
    for head in range(n_heads):
        for token in range(first, last):
            _final_head(layer, token, head, model, cache, prompt, space)
            query = heads.queries[head, token // QUERY_BLOCK]
            for i in range(head_dim):
                query[i, token % QUERY_BLOCK] = space[i]
    store = of_width(model.layers.wide_heads[layer], cache.store, cache.wide_store)
    for head in range(model.layers.n_kv_heads[layer] if model.layers.own_keys[layer] else 0):
        index = matrix_of(layer, head, prompt.sequence, model)
        for token in range(first, last):
            position = prompt.n_before + token
            _final_head(layer, token, n_heads + head, model, cache, prompt, space)
            start = finish_value(layer, prompt.outputs[token], head, model)
            value = prompt.outputs[token][start : start + head_dim]
            put_key(store, index, position, space[:head_dim])
            put_value(store, index, position, value)
            keys = heads.keys[head, position // GROUP]
            for i in range(head_dim):
                keys[i, position % GROUP] = space[i]
            copy(value, heads.values[head, position])


@kernel
def _recall_heads(
    layer: int, worker: int, n_workers: int, model: Model, cache: Cache, prompt: Prompt, space: Vector
) -> None:
    """Put what the cache holds of the tokens before the prompt, as far as it is seen, where attention wants it.

    Of the prompt itself, too, where a layer reads an earlier one's keys and values.
    """
    head_dim, heads = model.layers.head_dims[layer], prompt.heads
    store = of_width(model.layers.wide_heads[layer], cache.store, cache.wide_store)
    end = prompt.n_before if model.layers.own_keys[layer] else heads.values.shape[1]
    seen = max(0, prompt.n_before + 1 - model.vectors.windows[layer]) // GROUP * GROUP
    first, last = share(end - seen, worker, n_workers)
    for head in range(model.layers.n_kv_heads[layer]):
        index = matrix_of(layer, head, prompt.sequence, model)
        for position in range(seen + first, seen + last):
            get_key(store, index, position, space[:head_dim])
            keys = heads.keys[head, position // GROUP]
            for i in range(head_dim):
                keys[i, position % GROUP] = space[i]
            get_value(store, index, position, heads.values[head, position][:head_dim])


@kernel
def _norm_and_project_qkv(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt
) -> None:
    shape, layers, vectors = model.shape, model.layers, model.vectors
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    weight, bias = vectors.attention_norm[layer], vectors.attention_norm_bias[layer]
    norm_inputs(model.qkv, weight, bias, shape.epsilon, first, last, prompt)
    barrier(team, n_workers)
    matrix = of_width(layers.wide_heads[layer], model.qkv, model.wide_qkv)
    project(matrix, vectors.qkv_bias[layer], layers.places[layer], worker, n_workers, layers.qkv_rows[layer], prompt)
    barrier(team, n_workers)


@kernel
def _attend_head(layer: int, worker: int, head: int, block: int, model: Model, prompt: Prompt) -> None:
    limits = model.vectors.attention_scales[layer], model.shape.softcap, model.vectors.windows[layer]
    sizes = model.layers.n_kv_heads[layer], model.layers.head_dims[layer]
    sink = sink_of(model.vectors.sinks[layer], head)
    out, column = prompt.inputs.values, head * sizes[1]
    attend_block(prompt.heads, worker, head, block, sizes, prompt.n_before, limits, sink, out, column)


@kernel
def _prepare_attended(layer: int, first: int, last: int, model: Model, prompt: Prompt) -> None:
    width = model.shape.n_heads * model.layers.head_dims[layer]
    for t in range(first, last):
        prepare_group_inputs(model.attention_out, prompt.inputs, prompt.groups, t, width)


@kernel
def _attend_by_blocks(layer: int, worker: int, n_workers: int, model: Model, prompt: Prompt) -> None:
    """Attention, a block of queries to a worker: later blocks see more, so that who was last is first next time."""
    n_blocks, n_tokens = prompt.heads.queries.shape[1], prompt.residual.shape[0]
    for turn in range((n_blocks + n_workers - 1) // n_workers):
        block = turn * n_workers + (n_workers - 1 - worker if turn % 2 else worker)
        for head in range(model.shape.n_heads if block < n_blocks else 0):
            _attend_head(layer, worker, head, block, model, prompt)
        _prepare_attended(layer, block * QUERY_BLOCK, min((block + 1) * QUERY_BLOCK, n_tokens), model, prompt)


@kernel
def _attend_by_heads(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt
) -> None:
    """The same, a head of a block to a worker."""
    n_blocks = prompt.heads.queries.shape[1]
    first, last = share(n_blocks * model.shape.n_heads, worker, n_workers)
    for task in range(first, last):
        _attend_head(layer, worker, task // n_blocks, task % n_blocks, model, prompt)
    barrier(team, n_workers)
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    _prepare_attended(layer, first, last, model, prompt)


@kernel
def _attend(
    layer: int,
    worker: int,
    n_workers: int,
    team: NDArray[np.int64],
    model: Model,
    cache: Cache,
    prompt: Prompt,
    space: Vector,
) -> None:
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    _place_heads(layer, first, last, model, cache, prompt, space)
    if prompt.n_before or not model.layers.own_keys[layer]:
        _recall_heads(layer, worker, n_workers, model, cache, prompt, space)
    barrier(team, n_workers)
    if prompt.heads.queries.shape[1] < _FEW_BLOCKS * n_workers:
        _attend_by_heads(layer, worker, n_workers, team, model, prompt)
    else:
        _attend_by_blocks(layer, worker, n_workers, model, prompt)
    barrier(team, n_workers)


@kernel
def _add_attention(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt
) -> None:
    """`x += W · attention + b`, or its norm, and what the feed-forward reads: of `x` after that, or before it."""
    shape, vectors = model.shape, model.vectors
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    matrix = of_width(model.layers.wide_heads[layer], model.attention_out, model.wide_attention_out)
    bias, place = vectors.attention_out_bias[layer], model.layers.places[layer]
    mine = project(matrix, bias, place, worker, n_workers, shape.hidden, prompt)
    feed_norm, feed_bias = vectors.feed_norm[layer], vectors.feed_norm_bias[layer]
    if shape.parallel:
        barrier(team, n_workers)
        norm_inputs(model.mlp_up, feed_norm, feed_bias, shape.epsilon, first, last, prompt)
        barrier(team, n_workers)
        add_outputs(prompt, mine[0], mine[1])
    else:
        weight, bias = vectors.attention_out_norm[layer], vectors.attention_out_norm_bias[layer]
        add_update(weight, bias, shape.epsilon, mine, worker, n_workers, team, prompt)
        norm_inputs(model.mlp_up, feed_norm, feed_bias, shape.epsilon, first, last, prompt)
    barrier(team, n_workers)


@kernel
def _feed_forward(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt
) -> None:
    """Add what the feed-forward makes of the inputs that `_add_attention` left."""
    shape, layers, vectors = model.shape, model.layers, model.vectors
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    width, place = layers.widths[layer], layers.feed_places[layer]
    rows = 2 * width if shape.gated else width
    matrix = of_width(layers.wide_feeds[layer], model.mlp_up, model.wide_mlp_up)
    project(matrix, vectors.mlp_up_bias[layer], place, worker, n_workers, rows, prompt)
    barrier(team, n_workers)
    for t in range(first, last):
        hidden = prompt.inputs.values[t][:width]
        activate(prompt.outputs[t][:rows], shape.activation, shape.gated, hidden)
        prepare_group_inputs(model.mlp_down, prompt.inputs, prompt.groups, t, width)
    barrier(team, n_workers)
    matrix = of_width(layers.wide_feeds[layer], model.mlp_down, model.wide_mlp_down)
    mine = project(matrix, vectors.mlp_down_bias[layer], place, worker, n_workers, shape.hidden, prompt)
    weight, bias = vectors.mlp_down_norm[layer], vectors.mlp_down_norm_bias[layer]
    add_update(weight, bias, shape.epsilon, mine, worker, n_workers, team, prompt)


@entry
def prefill_prompt(
    worker: int,
    n_workers: int,
    team: NDArray[np.int64],
    seen: int,
    model_: Model,
    cache_: Cache,
    scratch_: Scratch,
    logits: Tokens,
    prompt_: Prompt,
) -> int:
    """Do this worker's share of a prompt; see `Team`. The cache is filled, the last token's logits are left."""
    model, cache, scratch = by_reference(model_), by_reference(cache_), by_reference(scratch_)
    prompt = by_reference(prompt_)
    while wait_for_task(team, worker, seen):
        seen += 1
        space = scratch.heads[worker]
        begin_prompt(model.layer_projection, worker, n_workers, team, model, prompt)
        for layer in range(model.vectors.windows.size):
            _norm_and_project_qkv(layer, worker, n_workers, team, model, prompt)
            if is_convolution(model.convolutions, layer, model):
                convolve_prompt(model.convolutions, layer, worker, n_workers, team, model, cache, prompt)
            else:
                _attend(layer, worker, n_workers, team, model, cache, prompt, space)
            _add_attention(layer, worker, n_workers, team, model, prompt)
            if model.shape.n_experts:
                n_tokens, normed = prompt.residual.shape[0], prompt.inputs.values
                feed_experts(layer, worker, n_workers, team, model, normed, prompt.residual, n_tokens, prompt.routing)
                barrier(team, n_workers)
            else:
                _feed_forward(layer, worker, n_workers, team, model, prompt)
            end_prompt_layer(model.input_gate, layer, worker, n_workers, team, model, prompt)
        if worker == 0:
            copy(prompt.residual[-1], scratch.residual[0])
        barrier(team, n_workers)
        last = Step(worker, n_workers, 1)
        inputs = part_of(scratch.inputs, worker, scratch.residual.shape[0])
        project_logits(last, model, scratch, inputs, logits)
        barrier(team, n_workers)
        if worker == 0:
            break
    return seen


@entry
def score_block(
    worker: int,
    n_workers: int,
    team: NDArray[np.int64],
    seen: int,
    model_: Model,
    prompt_: Prompt,
    n_positions: int,
    logits: Tokens,
) -> int:
    """Take a block of the prompt's positions, from the one ordered, through the head: `logits = W_head · norm(x) + b`.

    `prefill_prompt` comes first. `logits` has a row for each position of the block, rounded up to 4.
    """
    model, prompt = by_reference(model_), by_reference(prompt_)
    while wait_for_task(team, worker, seen):
        seen += 1
        shape, vectors, start = model.shape, model.vectors, task_of(team)[0]
        first, last = share(n_positions, worker, n_workers)
        for t in range(first, last):
            out = prompt.inputs.values[t][: shape.hidden]
            norm(prompt.residual[start + t], vectors.final_norm, vectors.final_norm_bias, shape.epsilon, out)
            prepare_group_inputs(model.head, prompt.inputs, prompt.groups, t, shape.hidden)
        barrier(team, n_workers)
        first, last = share(logits.shape[1] // LANES, worker, n_workers)
        multiply_groups(model.head, 0, first, last, prompt.groups, n_positions, prompt.expanded[worker], logits)
        finish_logits(model, first, last, n_positions, logits)
        barrier(team, n_workers)
        if worker == 0:
            break
    return seen
