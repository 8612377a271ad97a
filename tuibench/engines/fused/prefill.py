"""The prompt: the same layers as `decode`, on all its tokens at once, in one compiled call by the same team.

Products are shared out by rows, everything else by tokens; seven barriers a layer, and one before each norm of what is
added to the residual. Only the last position goes through
the output head.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.cache import Cache, put_key, put_value
from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.decode import Scratch, Step, cap_logits, normalise_all_heads, panel_share, project_logits
from tuibench.engines.fused.kernels.groups import FEW, Groups, multiply_groups, new_groups, prepare_group_inputs
from tuibench.engines.fused.kernels.heads import finish_head
from tuibench.engines.fused.kernels.matrix import Inputs, Tokens, new_inputs, part_of
from tuibench.engines.fused.kernels.prompt_attention import QUERY_BLOCK, Heads, attend_block, new_heads
from tuibench.engines.fused.kernels.tile_ir import TILE_COLUMNS
from tuibench.engines.fused.kernels.vector import Vector, activate, add, copy, norm
from tuibench.engines.fused.kernels.vector_ir import GROUP
from tuibench.engines.fused.matrices import LANES, Matrix, padded
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.reference import by_reference
from tuibench.engines.fused.team import barrier, share, task_of, wait_for_task

_STAGGER = 2 * LANES


class Prompt(NamedTuple):
    """Memory for one prompt."""

    residual: Tokens
    outputs: Tokens
    """What the last product gave, `[tokens, rounded up to 4, outputs of the widest matrix]`."""
    inputs: Inputs
    """What the next product is to be given, token by token."""
    groups: Groups
    """The same, ready for it."""
    heads: Heads
    expanded: NDArray[np.float32]
    """`[workers, inputs, 32]`: FP32 weights of two panels."""


def new_prompt(model: Model, embedded: Tokens, n_workers: int) -> Prompt:
    """Return memory for a prompt whose embedded tokens are given."""
    shape, n_tokens = model.shape, len(embedded)
    widest_in = max(shape.hidden, shape.n_heads * shape.head_dim, shape.intermediate)
    widest_out = max((2 if shape.gated else 1) * shape.intermediate, shape.hidden, shape.qkv_rows)
    inputs = new_inputs(padded(n_tokens, FEW), widest_in)
    return Prompt(
        residual=np.ascontiguousarray(embedded),
        # Staggered like the inputs, see there.
        outputs=np.zeros((padded(n_tokens, FEW), padded(widest_out, LANES) + _STAGGER), np.float32),
        inputs=inputs,
        groups=new_groups(inputs),
        heads=new_heads(shape.n_heads, shape.n_kv_heads, shape.head_dim, n_tokens, n_workers),
        expanded=np.zeros((n_workers, widest_in, TILE_COLUMNS), np.float32),
    )


@kernel
def _final_head(layer: int, token: int, index: int, model: Model, cache: Cache, prompt: Prompt, space: Vector) -> None:
    """Leave a head of queries or keys in its final form, in the first half of `space`."""
    shape, vectors = model.shape, model.vectors
    head = prompt.outputs[token][index * shape.head_dim : (index + 1) * shape.head_dim]
    norms = vectors.query_norm[layer] if index < shape.n_heads else vectors.key_norm[layer]
    n_pairs, table = vectors.rotated_pairs[layer], vectors.rotations[layer]
    cosine, sine = cache.cosine[table, token][:n_pairs], cache.sine[table, token][:n_pairs]
    out, space = space[: shape.head_dim], space[shape.head_dim :]
    finish_head(head, norms, shape.norm_after_rotation, shape.epsilon, cosine, sine, space, out)


@kernel
def _place_heads(layer: int, first: int, last: int, model: Model, cache: Cache, prompt: Prompt, space: Vector) -> None:
    """Put the heads of some tokens where attention wants them, and keys and values into the cache, too.

    Head by head: what is written then stays in the first-level cache until it is whole.
    """
    shape, heads = model.shape, prompt.heads
    for token in range(first, last):
        normalise_all_heads(layer, prompt.outputs[token], model)
    for head in range(shape.n_heads):
        for token in range(first, last):
            _final_head(layer, token, head, model, cache, prompt, space)
            query = heads.queries[head, token // QUERY_BLOCK]
            for i in range(shape.head_dim):
                query[i, token % QUERY_BLOCK] = space[i]
    for head in range(shape.n_kv_heads):
        start = (shape.n_heads + shape.n_kv_heads + head) * shape.head_dim
        for token in range(first, last):
            _final_head(layer, token, shape.n_heads + head, model, cache, prompt, space)
            value = prompt.outputs[token][start : start + shape.head_dim]
            put_key(cache.store, layer * shape.n_kv_heads + head, token, space[: shape.head_dim])
            put_value(cache.store, layer * shape.n_kv_heads + head, token, value)
            keys = heads.keys[head, token // GROUP]
            for i in range(shape.head_dim):
                keys[i, token % GROUP] = space[i]
            copy(value, heads.values[head, token])


@kernel
def _project(
    matrix: Matrix, bias: Vector, layer: int, worker: int, n_workers: int, n_outputs: int, prompt: Prompt
) -> tuple[int, int]:
    """`outputs = W · x + b` for all tokens, on the rows of this worker; return which those are."""
    first, last, begin, end = panel_share(n_outputs, worker, n_workers)
    n_tokens = prompt.residual.shape[0]
    multiply_groups(matrix, layer, first, last, prompt.groups, n_tokens, prompt.expanded[worker], prompt.outputs)
    if bias.size:
        for t in range(n_tokens):
            add(prompt.outputs[t, begin:end], bias[begin:end])
    return begin, end


@kernel
def _norm_inputs(
    matrix: Matrix, weight: Vector, bias: Vector, epsilon: float, first: int, last: int, prompt: Prompt
) -> None:
    """Norms of some tokens, as inputs of a matrix."""
    hidden = prompt.residual.shape[1]
    for t in range(first, last):
        norm(prompt.residual[t], weight, bias, epsilon, prompt.inputs.values[t][:hidden])
        prepare_group_inputs(matrix, prompt.inputs, prompt.groups, t, hidden)


@kernel
def _norm_and_project_qkv(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt
) -> None:
    shape, vectors = model.shape, model.vectors
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    weight, bias = vectors.attention_norm[layer], vectors.attention_norm_bias[layer]
    _norm_inputs(model.qkv, weight, bias, shape.epsilon, first, last, prompt)
    barrier(team, n_workers)
    _project(model.qkv, vectors.qkv_bias[layer], layer, worker, n_workers, shape.qkv_rows, prompt)
    barrier(team, n_workers)


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
    """Attention of all heads over blocks of queries; later blocks see more, so that who was last is first next time."""
    shape, n_tokens = model.shape, prompt.residual.shape[0]
    first, last = share(n_tokens, worker, n_workers)
    _place_heads(layer, first, last, model, cache, prompt, space)
    barrier(team, n_workers)
    limits = model.vectors.attention_scales[layer], shape.softcap, model.vectors.windows[layer]
    n_blocks = prompt.heads.queries.shape[1]
    for turn in range((n_blocks + n_workers - 1) // n_workers):
        block = turn * n_workers + (n_workers - 1 - worker if turn % 2 else worker)
        for head in range(shape.n_heads if block < n_blocks else 0):
            attend_block(prompt.heads, worker, head, block, limits, prompt.inputs.values, head * shape.head_dim)
        for t in range(block * QUERY_BLOCK, min((block + 1) * QUERY_BLOCK, n_tokens)):
            prepare_group_inputs(model.attention_out, prompt.inputs, prompt.groups, t, shape.n_heads * shape.head_dim)
    barrier(team, n_workers)


@kernel
def _add_outputs(prompt: Prompt, first: int, last: int) -> None:
    """`x += outputs`, on some rows."""
    for t in range(prompt.residual.shape[0]):
        add(prompt.residual[t, first:last], prompt.outputs[t, first:last])


@kernel
def _add_update(
    weight: Vector,
    bias: Vector,
    epsilon: float,
    mine: tuple[int, int],
    worker: int,
    n_workers: int,
    team: NDArray[np.int64],
    prompt: Prompt,
) -> None:
    """`x += outputs`, on the rows that are this worker's, or `x += norm(outputs)` for its tokens."""
    if weight.size == 0:
        _add_outputs(prompt, mine[0], mine[1])
    else:
        barrier(team, n_workers)
        first, last = share(prompt.residual.shape[0], worker, n_workers)
        for t in range(first, last):
            update = prompt.outputs[t][: weight.size]
            norm(update, weight, bias, epsilon, update)
            add(prompt.residual[t], update)
    barrier(team, n_workers)


@kernel
def _feed_forward(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt
) -> None:
    shape, vectors = model.shape, model.vectors
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    weight, bias = vectors.feed_norm[layer], vectors.feed_norm_bias[layer]
    _norm_inputs(model.mlp_up, weight, bias, shape.epsilon, first, last, prompt)
    barrier(team, n_workers)
    rows = 2 * shape.intermediate if shape.gated else shape.intermediate
    _project(model.mlp_up, vectors.mlp_up_bias[layer], layer, worker, n_workers, rows, prompt)
    barrier(team, n_workers)
    for t in range(first, last):
        hidden = prompt.inputs.values[t][: shape.intermediate]
        activate(prompt.outputs[t][:rows], shape.activation, shape.gated, hidden)
        prepare_group_inputs(model.mlp_down, prompt.inputs, prompt.groups, t, shape.intermediate)
    barrier(team, n_workers)
    mine = _project(model.mlp_down, vectors.mlp_down_bias[layer], layer, worker, n_workers, shape.hidden, prompt)
    weight, bias = vectors.mlp_down_norm[layer], vectors.mlp_down_norm_bias[layer]
    _add_update(weight, bias, shape.epsilon, mine, worker, n_workers, team, prompt)


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
        shape, vectors, space = model.shape, model.vectors, scratch.heads[worker]
        for layer in range(vectors.windows.size):
            _norm_and_project_qkv(layer, worker, n_workers, team, model, prompt)
            _attend(layer, worker, n_workers, team, model, cache, prompt, space)
            bias = vectors.attention_out_bias[layer]
            mine = _project(model.attention_out, bias, layer, worker, n_workers, shape.hidden, prompt)
            weight, bias = vectors.attention_out_norm[layer], vectors.attention_out_norm_bias[layer]
            _add_update(weight, bias, shape.epsilon, mine, worker, n_workers, team, prompt)
            _feed_forward(layer, worker, n_workers, team, model, prompt)
        if worker == 0:
            copy(prompt.residual[-1], scratch.residual[0])
        barrier(team, n_workers)
        last = Step(worker, n_workers, prompt.residual.shape[0] - 1, 1)
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
    """Take a block of the prompt's positions, from the one ordered, through the head: `logits = W_head · norm(x)`.

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
        cap_logits(shape.logit_softcap, first, last, n_positions, logits)
        barrier(team, n_workers)
        if worker == 0:
            break
    return seen
