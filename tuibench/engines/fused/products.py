"""Products of which a decoded token adds the result to the residual, or its norm; see `decode`."""

from __future__ import annotations

from typing import NamedTuple

from tuibench.engines.fused.buffers import Inputs, Scratch
from tuibench.engines.fused.compiler import kernel
from tuibench.engines.fused.kernels.matrix import multiply
from tuibench.engines.fused.kernels.team import panel_share
from tuibench.engines.fused.kernels.vector import Vector, add, copy, norm
from tuibench.engines.fused.matrices import Matrix


class Step(NamedTuple):
    """How many tokens are worked on, and whose share."""

    worker: int
    n_workers: int
    n_tokens: int


@kernel
def add_product(matrix: Matrix, bias: Vector, place: int, step: Step, scratch: Scratch, inputs: Inputs) -> None:
    """`x += W · inputs + b`, on the rows of this worker."""
    begin, end = _product(matrix, place, step, scratch, inputs)
    for t in range(step.n_tokens):
        add(scratch.residual[t][begin:end], scratch.outputs[step.worker, t][begin:end])
        if bias.size:
            add(scratch.residual[t][begin:end], bias[begin:end])


@kernel
def write_product(matrix: Matrix, bias: Vector, place: int, step: Step, scratch: Scratch, inputs: Inputs) -> None:
    """`update = W · inputs + b`, on the rows of this worker."""
    begin, end = _product(matrix, place, step, scratch, inputs)
    for t in range(step.n_tokens):
        copy(scratch.outputs[step.worker, t][begin:end], scratch.update[t][begin:end])
        if bias.size:
            add(scratch.update[t][begin:end], bias[begin:end])


@kernel
def _product(matrix: Matrix, place: int, step: Step, scratch: Scratch, inputs: Inputs) -> tuple[int, int]:
    """`outputs = W · inputs`, on the rows of this worker; return which those are."""
    first, last, begin, end = panel_share(scratch.residual.shape[1], step.worker, step.n_workers)
    multiply(matrix, place, first, last, inputs, step.n_tokens, scratch.outputs[step.worker])
    return begin, end


@kernel
def add_norm(weight: Vector, bias: Vector, epsilon: float, step: Step, scratch: Scratch) -> None:
    """`x += norm(update)`, on the rows of this worker; each computes all of the norm for itself."""
    begin, end = panel_share(scratch.residual.shape[1], step.worker, step.n_workers)[2:]
    for t in range(step.n_tokens):
        normed = scratch.outputs[step.worker, t][: weight.size]
        norm(scratch.update[t], weight, bias, epsilon, normed)
        add(scratch.residual[t][begin:end], normed[begin:end])
