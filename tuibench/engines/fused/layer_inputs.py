"""Layers of a decoded token that end otherwise: they read the token again, and multiplied by a number (Gemma 4).

Only models that need it get this code; see `layers.is_varied`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import Inputs, Scratch
from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.kernels.matrix import holds, multiply, prepare_inputs
from tuibench.engines.fused.kernels.team import barrier, panel_share, share
from tuibench.engines.fused.kernels.vector import add, copy, gelu_tanh, multiply_by, rms_norm, scale_by
from tuibench.engines.fused.matrices import Absent, Matrix
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.products import Step, add_norm, write_product

Team = NDArray[np.int64]


def begin_layers(projection: Matrix, step: Step, team: Team, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """Make what the layers read of the token besides, where there is such a matrix."""
    raise NotImplementedError  # this and the next are chosen by type, while compiling


def end_layer(gate: Matrix, layer: int, step: Step, team: Team, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """Add what a layer makes of its input of the token, and scale what leaves it, where there is such a matrix."""
    raise NotImplementedError


@kernel
def _project_layer_inputs(step: Step, team: Team, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`layer_inputs += norm(W · x)`, each layer's part normalised by itself."""
    shape, weight = model.shape, model.vectors.layer_projection_norm
    for t in range(step.n_tokens):
        copy(scratch.residual[t], inputs.values[t])
        prepare_inputs(model.layer_projection, inputs, t, shape.hidden)
    first, last = panel_share(scratch.layer_inputs.shape[1], step.worker, step.n_workers)[:2]
    multiply(model.layer_projection, 0, first, last, inputs, step.n_tokens, scratch.projected)
    barrier(team, step.n_workers)
    first, last = share(scratch.layer_inputs.shape[1] // shape.layer_input, step.worker, step.n_workers)
    for t in range(step.n_tokens):
        for part in range(first, last):
            begin, end = part * shape.layer_input, (part + 1) * shape.layer_input
            projected = scratch.projected[t][begin:end]
            rms_norm(projected, weight, shape.epsilon, projected)
            add(scratch.layer_inputs[t][begin:end], projected)


@kernel
def _add_layer_input(layer: int, step: Step, team: Team, model: Model, scratch: Scratch, inputs: Inputs) -> None:
    """`x += norm(W_out · (gelu(W_gate · x) · layer_inputs))`.

    Every worker has to have added its rows of the feed-forward.
    """
    width, hidden = model.shape.layer_input, model.shape.hidden
    barrier(team, step.n_workers)
    for t in range(step.n_tokens):
        copy(scratch.residual[t], inputs.values[t])
        prepare_inputs(model.input_gate, inputs, t, hidden)
    first, last, begin, end = panel_share(width, step.worker, step.n_workers)
    outputs = scratch.outputs[step.worker]
    multiply(model.input_gate, layer, first, last, inputs, step.n_tokens, outputs)
    for t in range(step.n_tokens):
        mine = scratch.hidden[t][begin:end]
        gelu_tanh(outputs[t][begin:end], mine)
        multiply_by(mine, scratch.layer_inputs[t][layer * width + begin : layer * width + end])
    barrier(team, step.n_workers)
    for t in range(step.n_tokens):
        copy(scratch.hidden[t][:width], inputs.values[t])
        prepare_inputs(model.input_out, inputs, t, width)
    weight = model.vectors.input_out_norm[layer]
    write_product(model.input_out, weight[:0], layer, step, scratch, inputs)
    barrier(team, step.n_workers)
    add_norm(weight, weight[:0], model.shape.epsilon, step, scratch)


@kernel
def _scale_layer(layer: int, step: Step, model: Model, scratch: Scratch) -> None:
    """`x *= scale`, on the rows of this worker."""
    begin, end = panel_share(scratch.residual.shape[1], step.worker, step.n_workers)[2:]
    for t in range(step.n_tokens):
        scale_by(scratch.residual[t][begin:end], model.vectors.layer_scale[layer, 0])


@overload(begin_layers, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_beginning(projection: Any, step: Any, team: Any, model: Any, scratch: Any, inputs: Any) -> Any:
    if holds(projection, Absent):
        return lambda projection, step, team, model, scratch, inputs: None  # noqa: ARG005 - there are none

    def begin(projection, step, team, model, scratch, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        if model.shape.layer_input:
            _project_layer_inputs(step, team, model, scratch, inputs)

    return begin


@overload(end_layer, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_end(gate: Any, layer: Any, step: Any, team: Any, model: Any, scratch: Any, inputs: Any) -> Any:
    if holds(gate, Absent):
        return lambda gate, layer, step, team, model, scratch, inputs: None  # noqa: ARG005 - there are none

    def end(gate, layer, step, team, model, scratch, inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        if model.shape.layer_input:
            _add_layer_input(layer, step, team, model, scratch, inputs)
        if model.vectors.layer_scale.shape[1]:
            _scale_layer(layer, step, model, scratch)

    return end
