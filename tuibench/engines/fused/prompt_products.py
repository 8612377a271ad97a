"""Products of a prompt, all tokens at once, and what is done with their results; see `prefill`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import Prompt
from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels.groups import multiply_groups, prepare_group_inputs
from tuibench.engines.fused.kernels.team import barrier, panel_share, share
from tuibench.engines.fused.kernels.vector import Vector, add, norm
from tuibench.engines.fused.matrices import Matrix


@kernel
def project(
    matrix: Matrix, bias: Vector, place: int, worker: int, n_workers: int, n_outputs: int, prompt: Prompt
) -> tuple[int, int]:
    """`outputs = W · x + b` for all tokens, on the rows of this worker; return which those are."""
    first, last, begin, end = panel_share(n_outputs, worker, n_workers)
    n_tokens = prompt.residual.shape[0]
    multiply_groups(matrix, place, first, last, prompt.groups, n_tokens, prompt.expanded[worker], prompt.outputs)
    if bias.size:
        for t in range(n_tokens):
            add(prompt.outputs[t, begin:end], bias[begin:end])
    return begin, end


@kernel
def norm_inputs(
    matrix: Matrix, weight: Vector, bias: Vector, epsilon: float, first: int, last: int, prompt: Prompt
) -> None:
    """Norms of some tokens, as inputs of a matrix."""
    hidden = prompt.residual.shape[1]
    for t in range(first, last):
        norm(prompt.residual[t], weight, bias, epsilon, prompt.inputs.values[t][:hidden])
        prepare_group_inputs(matrix, prompt.inputs, prompt.groups, t, hidden)


@kernel
def add_outputs(prompt: Prompt, first: int, last: int) -> None:
    """`x += outputs`, on some rows."""
    for t in range(prompt.residual.shape[0]):
        add(prompt.residual[t, first:last], prompt.outputs[t, first:last])


@kernel
def add_update(
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
        add_outputs(prompt, mine[0], mine[1])
    else:
        barrier(team, n_workers)
        first, last = share(prompt.residual.shape[0], worker, n_workers)
        for t in range(first, last):
            update = prompt.outputs[t][: weight.size]
            norm(update, weight, bias, epsilon, update)
            add(prompt.residual[t], update)
    barrier(team, n_workers)
