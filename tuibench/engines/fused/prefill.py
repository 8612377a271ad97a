"""The prompt: the same layers as `decode`, on all its tokens at once, in one compiled call by the same team.

Products are shared out by rows, everything else by tokens; seven barriers a layer. Only the last position goes through
the output head.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.compiler import entry, kernel
from tuibench.engines.fused.decode import Cache, Scratch, Step, inputs_of, panel_share, project_logits
from tuibench.engines.fused.kernels_attention import attend_block
from tuibench.engines.fused.kernels_matrix import Inputs, Tokens, multiply, new_inputs, prepare_inputs
from tuibench.engines.fused.kernels_vector import Vector, add, gelu, norm, rotate, silu_gate
from tuibench.engines.fused.matrices import LANES, Matrix, padded
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.team import await_order, barrier, order_of, share

_STAGGER = 2 * LANES
QUERY_BLOCK = 32
"""Queries whose attention one worker computes at a time."""


class Prompt(NamedTuple):
    """Memory for one prompt."""

    residual: Tokens
    outputs: Tokens
    """What the last product gave, `[tokens, outputs of the widest matrix]`."""
    queries: NDArray[np.float32]
    """`[n_kv_heads, tokens, heads that share one, head_dim]`, rotated."""
    scores: NDArray[np.float32]
    """`[workers, queries of a block, tokens]`"""
    keys: NDArray[np.float32]
    """`[workers, head_dim, tokens]`: the keys of one head, columns first."""


def new_prompt(model: Model, embedded: Tokens, n_workers: int) -> tuple[Prompt, Inputs]:
    """Return memory for a prompt whose embedded tokens are given."""
    shape, n_tokens = model.shape, len(embedded)
    group = shape.n_heads // shape.n_kv_heads
    widest_in = max(shape.hidden, shape.n_heads * shape.head_dim, shape.intermediate)
    widest_out = max((2 if shape.gated else 1) * shape.intermediate, shape.hidden, shape.qkv_rows)

    def zeros(*size: int) -> NDArray[np.float32]:
        return np.zeros(size, np.float32)

    prompt = Prompt(
        residual=np.ascontiguousarray(embedded),
        # Staggered like the inputs, see there.
        outputs=zeros(n_tokens, padded(widest_out, LANES) + _STAGGER),
        queries=zeros(shape.n_kv_heads, n_tokens, group, shape.head_dim),
        scores=zeros(n_workers, QUERY_BLOCK * group, n_tokens),
        keys=zeros(n_workers, shape.head_dim, n_tokens),
    )
    return prompt, new_inputs(n_tokens, widest_in)


@kernel
def place_heads(layer: int, token: int, model: Model, cache: Cache, prompt: Prompt, space: Vector) -> None:
    """Bring one token's heads into their final form: keys and values go into the cache, queries to `prompt.queries`."""
    shape = model.shape
    head_dim, group = shape.head_dim, shape.n_heads // shape.n_kv_heads
    qkv, cosine, sine = prompt.outputs[token], cache.cosine[token], cache.sine[token]
    for index in range(shape.n_heads + shape.n_kv_heads):
        head = qkv[index * head_dim : (index + 1) * head_dim]
        is_query = index < shape.n_heads
        norms = model.vectors.query_norm[layer] if is_query else model.vectors.key_norm[layer]
        if is_query:
            out = prompt.queries[index // group, token, index % group]
        else:
            out = cache.keys[layer, index - shape.n_heads, token]
        if norms.size:
            norm(head, norms, norms[:0], shape.epsilon, space)
            rotate(space, cosine, sine, out)
        else:
            rotate(head, cosine, sine, out)
    for index in range(shape.n_kv_heads):
        start, out = (shape.n_heads + shape.n_kv_heads + index) * head_dim, cache.values[layer, index, token]
        for i in range(head_dim):
            out[i] = qkv[start + i]


@kernel
def _project(
    matrix: Matrix,
    bias: Vector,
    layer: int,
    worker: int,
    n_workers: int,
    n_outputs: int,
    prompt: Prompt,
    inputs: Inputs,
) -> tuple[int, int]:
    """`outputs = W · x + b` for all tokens, on the rows of this worker; return which those are."""
    first, last, begin, end = panel_share(n_outputs, worker, n_workers)
    multiply(matrix, layer, first, last, inputs, prompt.residual.shape[0], prompt.outputs)
    if bias.size:
        for t in range(prompt.residual.shape[0]):
            add(prompt.outputs[t, begin:end], bias[begin:end])
    return begin, end


@kernel
def _norm_and_project_qkv(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt, inputs: Inputs
) -> None:
    shape, vectors = model.shape, model.vectors
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    for t in range(first, last):
        norm(
            prompt.residual[t],
            vectors.attention_norm[layer],
            vectors.attention_norm_bias[layer],
            shape.epsilon,
            inputs.values[t][: shape.hidden],
        )
        prepare_inputs(model.qkv, inputs, t, shape.hidden)
    barrier(team, n_workers)
    _project(model.qkv, vectors.qkv_bias[layer], layer, worker, n_workers, shape.qkv_rows, prompt, inputs)
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
    inputs: Inputs,
    space: Vector,
) -> None:
    """Attention of all heads over blocks of queries; neighbouring blocks, of about the same cost, go to all in turn."""
    shape, n_tokens = model.shape, prompt.residual.shape[0]
    first, last = share(n_tokens, worker, n_workers)
    for t in range(first, last):
        place_heads(layer, t, model, cache, prompt, space)
    barrier(team, n_workers)
    width = shape.n_heads // shape.n_kv_heads * shape.head_dim
    limits = model.vectors.attention_scales[layer], model.vectors.windows[layer]
    for start in range(worker * QUERY_BLOCK, n_tokens, n_workers * QUERY_BLOCK):
        end = min(start + QUERY_BLOCK, n_tokens)
        for head in range(shape.n_kv_heads):
            attend_block(
                prompt.queries[head, start:end],
                start,
                cache.keys[layer, head],
                cache.values[layer, head],
                limits,
                (prompt.keys[worker], prompt.scores[worker]),
                inputs.values,
                head * width,
            )
        for t in range(start, end):
            prepare_inputs(model.attention_out, inputs, t, shape.n_heads * shape.head_dim)
    barrier(team, n_workers)


@kernel
def _add_outputs(prompt: Prompt, first: int, last: int) -> None:
    """`x += outputs`, on some rows."""
    for t in range(prompt.residual.shape[0]):
        add(prompt.residual[t, first:last], prompt.outputs[t, first:last])


@kernel
def _feed_forward(
    layer: int, worker: int, n_workers: int, team: NDArray[np.int64], model: Model, prompt: Prompt, inputs: Inputs
) -> None:
    shape, vectors = model.shape, model.vectors
    my_tokens = share(prompt.residual.shape[0], worker, n_workers)
    for t in range(my_tokens[0], my_tokens[1]):
        norm(
            prompt.residual[t],
            vectors.feed_norm[layer],
            vectors.feed_norm_bias[layer],
            shape.epsilon,
            inputs.values[t][: shape.hidden],
        )
        prepare_inputs(model.feed_in, inputs, t, shape.hidden)
    barrier(team, n_workers)
    rows = 2 * shape.intermediate if shape.gated else shape.intermediate
    _project(model.feed_in, vectors.feed_in_bias[layer], layer, worker, n_workers, rows, prompt, inputs)
    barrier(team, n_workers)
    for t in range(my_tokens[0], my_tokens[1]):
        hidden = inputs.values[t][: shape.intermediate]
        if shape.gated:
            silu_gate(prompt.outputs[t][:rows], hidden)
        else:
            gelu(prompt.outputs[t][:rows], hidden)
        prepare_inputs(model.feed_out, inputs, t, shape.intermediate)
    barrier(team, n_workers)
    bias = vectors.feed_out_bias[layer]
    mine = _project(model.feed_out, bias, layer, worker, n_workers, shape.hidden, prompt, inputs)
    _add_outputs(prompt, mine[0], mine[1])
    barrier(team, n_workers)


@entry
def prefill_prompt(
    worker: int,
    n_workers: int,
    team: NDArray[np.int64],
    seen: int,
    model: Model,
    cache: Cache,
    scratch: Scratch,
    logits: Tokens,
    prompt: Prompt,
    inputs: Inputs,
) -> int:
    """Do this worker's share of a prompt; see `Team`. The cache is filled, the last token's logits are left."""
    while await_order(team, worker, seen):
        seen += 1
        shape, vectors, space = model.shape, model.vectors, np.empty(model.shape.head_dim, np.float32)
        for layer in range(vectors.windows.size):
            _norm_and_project_qkv(layer, worker, n_workers, team, model, prompt, inputs)
            _attend(layer, worker, n_workers, team, model, cache, prompt, inputs, space)
            bias = vectors.attention_out_bias[layer]
            mine = _project(model.attention_out, bias, layer, worker, n_workers, shape.hidden, prompt, inputs)
            _add_outputs(prompt, mine[0], mine[1])
            barrier(team, n_workers)
            _feed_forward(layer, worker, n_workers, team, model, prompt, inputs)
        if worker == 0:
            scratch.residual[0] = prompt.residual[-1]
        barrier(team, n_workers)
        last = Step(worker, n_workers, prompt.residual.shape[0] - 1, 1)
        project_logits(last, model, scratch, inputs_of(scratch, worker), logits)
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
    model: Model,
    prompt: Prompt,
    inputs: Inputs,
    logits: Tokens,
) -> int:
    """Take a block of the prompt's positions, from the one ordered, through the head: `logits = W_head · norm(x)`.

    `prefill_prompt` comes first. `logits` has a row for each position of the block.
    """
    while await_order(team, worker, seen):
        seen += 1
        shape, vectors, start = model.shape, model.vectors, order_of(team)[0]
        first, last = share(logits.shape[0], worker, n_workers)
        for t in range(first, last):
            out = inputs.values[t][: shape.hidden]
            norm(prompt.residual[start + t], vectors.final_norm, vectors.final_norm_bias, shape.epsilon, out)
            prepare_inputs(model.head, inputs, t, shape.hidden)
        barrier(team, n_workers)
        first, last = share(logits.shape[1] // LANES, worker, n_workers)
        multiply(model.head, 0, first, last, inputs, logits.shape[0], logits)
        barrier(team, n_workers)
        if worker == 0:
            break
    return seen
