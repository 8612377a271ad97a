"""A feed-forward of which each token goes to a few: a router picks experts, and each reads its own tokens only.

Experts lie in the stacks of `mlp_up` and `mlp_down` one after the other, those of a layer together: picking one is
picking another index, and nothing is copied but the tokens. A pair is a token with one of its experts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.activations import LIMITED_SILU
from tuibench.engines.fused.buffers import EXPERT_TOKENS, Routing, Tokens
from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels.matrix import multiply, part_of, prepare_inputs
from tuibench.engines.fused.kernels.team import barrier, panel_share, share
from tuibench.engines.fused.kernels.vector import (
    Vector,
    activate,
    add,
    copy,
    exponential,
    limited_silu_gate,
    weighted_add,
)
from tuibench.engines.fused.model import Model, Shape

_LOWEST = np.float32(-3e38)


@kernel
def feed_experts(
    layer: int,
    worker: int,
    n_workers: int,
    team: NDArray[np.int64],
    model: Model,
    normed: Tokens,
    residual: Tokens,
    n_tokens: int,
    routing: Routing,
) -> None:
    """`x += Σ weight · expert(n)`, on the rows of this worker; `n = norm(x)` of each token is given."""
    _route(layer, worker, n_workers, model, normed, n_tokens, routing)
    barrier(team, n_workers)
    _pick(worker, model.shape, n_tokens, routing)
    _experts_in(layer, worker, n_workers, model, normed, n_tokens, routing)
    barrier(team, n_workers)
    _experts_out(layer, worker, n_workers, model, residual, n_tokens, routing)


@kernel
def _dot(x: Vector, y: Vector) -> np.float32:
    total = np.float32(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@kernel
def _route(
    layer: int, worker: int, n_workers: int, model: Model, normed: Tokens, n_tokens: int, routing: Routing
) -> None:
    """Fill the router's logits of this worker's experts, for all tokens; in FP32, whatever experts are stored in."""
    router, bias, hidden = model.vectors.router[layer], model.vectors.router_bias[layer], model.shape.hidden
    first, last = share(model.shape.n_experts, worker, n_workers)
    for expert in range(first, last):
        for t in range(n_tokens):
            routing.logits[t, expert] = _dot(router[expert], normed[t][:hidden])
            if bias.size:
                routing.logits[t, expert] += bias[expert]


@kernel
def _pick(worker: int, shape: Shape, n_tokens: int, routing: Routing) -> None:
    """Find the experts of each token, the best first, and their weights: a softmax over all, or over those picked."""
    picks, factors = routing.picks[worker], routing.factors[worker]
    for t in range(n_tokens):
        logits, start = routing.logits[t], t * shape.n_active
        for i in range(shape.n_active):
            best, highest = 0, _LOWEST
            for expert in range(shape.n_experts):
                taken = False
                for j in range(i):
                    taken = taken or picks[start + j] == expert
                if not taken and logits[expert] > highest:
                    best, highest = expert, logits[expert]
            picks[start + i] = best
        top, total = logits[picks[start]], np.float32(0)
        for i in range(shape.n_active):
            factors[start + i] = exponential(logits[picks[start + i]] - top)
            total += factors[start + i]
        if not shape.normalised:
            total = np.float32(0)
            for expert in range(shape.n_experts):
                total += exponential(logits[expert] - top)
        for i in range(shape.n_active):
            factors[start + i] /= total


@kernel
def _next_pairs(expert: int, start: int, n_pairs: int, picks: NDArray[np.int64], chosen: NDArray[np.int64]) -> int:
    """Leave the next pairs of an expert in `chosen`, at most 8; return how many."""
    count = 0
    for pair in range(start, n_pairs):
        if picks[pair] == expert:
            chosen[count] = pair
            count += 1
            if count == chosen.size:
                break
    return count


@kernel
def _experts_in(
    layer: int, worker: int, n_workers: int, model: Model, normed: Tokens, n_tokens: int, routing: Routing
) -> None:
    """`hidden = act(W_gate · n + b) · (W_up · n + b)` of every pair, on the rows of this worker."""
    shape, picks, chosen = model.shape, routing.picks[worker], routing.chosen[worker]
    biases = model.vectors.mlp_up_bias[layer]
    inputs, outputs = part_of(routing.inputs, worker, EXPERT_TOKENS), routing.outputs[worker]
    first, last, begin, end = panel_share(2 * shape.intermediate, worker, n_workers)
    for expert in range(shape.n_experts):
        start, n_pairs = 0, n_tokens * shape.n_active
        count = _next_pairs(expert, start, n_pairs, picks, chosen)
        while count > 0:
            for i in range(count):
                copy(normed[chosen[i] // shape.n_active][: shape.hidden], inputs.values[i])
                prepare_inputs(model.mlp_up, inputs, i, shape.hidden)
            multiply(model.mlp_up, layer * shape.n_experts + expert, first, last, inputs, count, outputs)
            for i in range(count):
                mine, hidden = outputs[i][begin:end], routing.hidden[chosen[i]][begin // 2 : end // 2]
                if biases.size:
                    add(mine, biases[2 * shape.intermediate * expert + begin : 2 * shape.intermediate * expert + end])
                if shape.activation == LIMITED_SILU:
                    slope, offset, limit = np.float32(shape.slope), np.float32(shape.offset), np.float32(shape.limit)
                    limited_silu_gate(mine, slope, offset, limit, hidden)
                else:
                    activate(mine, shape.activation, shape.gated, hidden)
            start = chosen[count - 1] + 1
            count = _next_pairs(expert, start, n_pairs, picks, chosen)


@kernel
def _experts_out(
    layer: int, worker: int, n_workers: int, model: Model, residual: Tokens, n_tokens: int, routing: Routing
) -> None:
    """`x += weight · (W_down · hidden + b)` for every pair, on the rows of this worker."""
    shape, picks, chosen = model.shape, routing.picks[worker], routing.chosen[worker]
    biases = model.vectors.mlp_down_bias[layer]
    inputs, outputs = part_of(routing.inputs, worker, EXPERT_TOKENS), routing.outputs[worker]
    first, last, begin, end = panel_share(shape.hidden, worker, n_workers)
    for expert in range(shape.n_experts):
        start, n_pairs = 0, n_tokens * shape.n_active
        count = _next_pairs(expert, start, n_pairs, picks, chosen)
        while count > 0:
            for i in range(count):
                copy(routing.hidden[chosen[i]], inputs.values[i])
                prepare_inputs(model.mlp_down, inputs, i, shape.intermediate)
            multiply(model.mlp_down, layer * shape.n_experts + expert, first, last, inputs, count, outputs)
            for i in range(count):
                mine, factor = outputs[i][begin:end], routing.factors[worker, chosen[i]]
                if biases.size:
                    add(mine, biases[shape.hidden * expert + begin : shape.hidden * expert + end])
                weighted_add(residual[chosen[i] // shape.n_active][begin:end], factor, mine)
            start = chosen[count - 1] + 1
            count = _next_pairs(expert, start, n_pairs, picks, chosen)
