"""The same as `layer_inputs`, of a prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import Prompt
from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.kernels.groups import prepare_group_inputs
from tuibench.engines.fused.kernels.matrix import holds
from tuibench.engines.fused.kernels.team import barrier, share
from tuibench.engines.fused.kernels.vector import add, gelu_tanh, multiply_by, rms_norm, scale_by
from tuibench.engines.fused.matrices import Absent, Matrix
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.prompt_products import add_update, norm_inputs, project

Team = NDArray[np.int64]


def begin_prompt(projection: Matrix, worker: int, n_workers: int, team: Team, model: Model, prompt: Prompt) -> None:
    """Make what the layers read of the tokens besides, where there is such a matrix."""
    raise NotImplementedError  # this and the next are chosen by type, while compiling


def end_prompt_layer(
    gate: Matrix, layer: int, worker: int, n_workers: int, team: Team, model: Model, prompt: Prompt
) -> None:
    """Add what a layer makes of its input of the token, and scale what leaves it, where there is such a matrix."""
    raise NotImplementedError


@kernel
def _project_layer_inputs(worker: int, n_workers: int, team: Team, model: Model, prompt: Prompt) -> None:
    """`layer_inputs += norm(W · x)`; see `layer_inputs`."""
    shape, none = model.shape, model.vectors.head_bias[:0]
    weight, width = model.vectors.layer_projection_norm, shape.layer_input
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    norm_inputs(model.layer_projection, none, none, shape.epsilon, first, last, prompt)
    barrier(team, n_workers)
    project(model.layer_projection, none, 0, worker, n_workers, prompt.layer_inputs.shape[1], prompt)
    barrier(team, n_workers)
    for t in range(first, last):
        for begin in range(0, prompt.layer_inputs.shape[1], width):
            part = prompt.outputs[t][begin : begin + width]
            rms_norm(part, weight, shape.epsilon, part)
            add(prompt.layer_inputs[t][begin : begin + width], part)


@kernel
def _add_layer_input(layer: int, worker: int, n_workers: int, team: Team, model: Model, prompt: Prompt) -> None:
    """`x += norm(W_out · (gelu(W_gate · x) · layer_inputs))`; `x` of a worker's tokens is whole."""
    shape, width, none = model.shape, model.shape.layer_input, model.vectors.head_bias[:0]
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    norm_inputs(model.input_gate, none, none, shape.epsilon, first, last, prompt)
    barrier(team, n_workers)
    project(model.input_gate, none, layer, worker, n_workers, width, prompt)
    barrier(team, n_workers)
    for t in range(first, last):
        hidden = prompt.inputs.values[t][:width]
        gelu_tanh(prompt.outputs[t][:width], hidden)
        multiply_by(hidden, prompt.layer_inputs[t][layer * width : (layer + 1) * width])
        prepare_group_inputs(model.input_out, prompt.inputs, prompt.groups, t, width)
    barrier(team, n_workers)
    mine = project(model.input_out, none, layer, worker, n_workers, shape.hidden, prompt)
    weight = model.vectors.input_out_norm[layer]
    add_update(weight, none, shape.epsilon, mine, worker, n_workers, team, prompt)


@kernel
def _scale_layer(layer: int, worker: int, n_workers: int, team: Team, model: Model, prompt: Prompt) -> None:
    """`x *= scale`, for the tokens of this worker."""
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    for t in range(first, last):
        scale_by(prompt.residual[t], model.vectors.layer_scale[layer, 0])
    barrier(team, n_workers)


@overload(begin_prompt, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_beginning(projection: Any, worker: Any, n_workers: Any, team: Any, model: Any, prompt: Any) -> Any:
    if holds(projection, Absent):
        return lambda projection, worker, n_workers, team, model, prompt: None  # noqa: ARG005 - there are none

    def begin(projection, worker, n_workers, team, model, prompt):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        if model.shape.layer_input:
            _project_layer_inputs(worker, n_workers, team, model, prompt)

    return begin


@overload(end_prompt_layer, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_end(gate: Any, layer: Any, worker: Any, n_workers: Any, team: Any, model: Any, prompt: Any) -> Any:
    if holds(gate, Absent):
        return lambda gate, layer, worker, n_workers, team, model, prompt: None  # noqa: ARG005 - there are none

    def end(gate, layer, worker, n_workers, team, model, prompt):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        if model.shape.layer_input:
            _add_layer_input(layer, worker, n_workers, team, model, prompt)
        if model.vectors.layer_scale.shape[1]:
            _scale_layer(layer, worker, n_workers, team, model, prompt)

    return end
