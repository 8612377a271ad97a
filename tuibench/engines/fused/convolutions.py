"""Layers with a short convolution in place of attention (LFM2), between the two products that both have.

It is computed channel by channel, from rows that the cache keeps of each position: going back to an earlier one is to
write over those behind it, as with keys and values. Only models that need it get this code; see `layers.is_varied`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import Prompt, Scratch, Tokens
from tuibench.engines.fused.cache import Cache
from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.convolution_weights import Convolutions
from tuibench.engines.fused.kernels.groups import prepare_group_inputs
from tuibench.engines.fused.kernels.matrix import holds
from tuibench.engines.fused.kernels.team import barrier, panel_share, share
from tuibench.engines.fused.kernels.vector import Vector, add, add_products, multiply_by, products
from tuibench.engines.fused.matrices import Absent
from tuibench.engines.fused.model import Model
from tuibench.engines.fused.products import Step

Team = NDArray[np.int64]
Sequences = NDArray[np.float32]
"""What `Cache` keeps of what convolutions read."""


def is_convolution(convolutions: Convolutions | Absent, layer: int, model: Model) -> bool:
    """Return whether a layer has a convolution; known while compiling where none has."""
    raise NotImplementedError  # this and the next two are chosen by type, while compiling


def convolve_tokens(
    convolutions: Convolutions | Absent, layer: int, step: Step, model: Model, cache: Cache, scratch: Scratch
) -> None:
    """Convolve the channels of this worker, of all tokens in order; what comes of it takes the place of b."""
    raise NotImplementedError


def convolve_prompt(
    convolutions: Convolutions | Absent,
    layer: int,
    worker: int,
    n_workers: int,
    team: Team,
    model: Model,
    cache: Cache,
    prompt: Prompt,
) -> None:
    """Convolve a prompt and leave what comes of it as inputs of the next product."""
    raise NotImplementedError


@kernel
def _convolve(
    convolutions: Convolutions,
    place: int,
    position: int,
    rows: Tokens,
    channels: tuple[int, int],
    gate: Vector,
    out: Vector,
) -> None:
    """`out = gate · (Σ_k kernel_k · rows_k + bias)`, on some channels, `k` counting rows up to the position's."""
    (begin, end), factors = channels, convolutions.kernels[place]
    products(factors[0][begin:end], rows[position][begin:end], out)
    for k in range(1, factors.shape[0]):
        add_products(factors[k][begin:end], rows[position + k][begin:end], out)
    if convolutions.biases.shape[1]:
        add(out, convolutions.biases[place][begin:end])
    multiply_by(out, gate)


@kernel
def _convolve_tokens(
    convolutions: Convolutions, layer: int, step: Step, model: Model, kept: Sequences, scratch: Scratch
) -> None:
    hidden, place = model.shape.hidden, model.layers.places[layer]
    n_convolutions, width = convolutions.kernels.shape[:2]
    begin, end = panel_share(hidden, step.worker, step.n_workers)[2:]
    for t in range(step.n_tokens):
        rows, position = kept[scratch.sequences[t] * n_convolutions + place], scratch.positions[t]
        before, after = scratch.qkv[t][begin:end], scratch.qkv[t][hidden + begin : hidden + end]
        read = scratch.qkv[t][2 * hidden + begin : 2 * hidden + end]
        products(before, read, rows[position + width - 1][begin:end])
        _convolve(convolutions, place, position, rows, (begin, end), after, before)


@kernel
def _convolve_prompt(
    convolutions: Convolutions,
    layer: int,
    worker: int,
    n_workers: int,
    team: Team,
    model: Model,
    kept: Sequences,
    prompt: Prompt,
) -> None:
    hidden, place = model.shape.hidden, model.layers.places[layer]
    n_convolutions, width = convolutions.kernels.shape[:2]
    rows = kept[prompt.sequence * n_convolutions + place]
    first, last = share(prompt.residual.shape[0], worker, n_workers)
    for t in range(first, last):
        read = prompt.outputs[t][2 * hidden : 3 * hidden]
        products(prompt.outputs[t][:hidden], read, rows[prompt.n_before + t + width - 1])
    barrier(team, n_workers)
    for t in range(first, last):
        after, out = prompt.outputs[t][hidden : 2 * hidden], prompt.inputs.values[t][:hidden]
        _convolve(convolutions, place, prompt.n_before + t, rows, (0, hidden), after, out)
        prepare_group_inputs(model.attention_out, prompt.inputs, prompt.groups, t, hidden)
    barrier(team, n_workers)


@overload(is_convolution, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_kind(convolutions: Any, layer: Any, model: Any) -> Any:
    if holds(convolutions, Absent):
        return lambda convolutions, layer, model: False  # noqa: ARG005 - there are none
    return lambda convolutions, layer, model: model.layers.head_dims[layer] == 0  # noqa: ARG005


@overload(convolve_tokens, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_tokens(convolutions: Any, layer: Any, step: Any, model: Any, cache: Any, scratch: Any) -> Any:
    if holds(convolutions, Absent):
        return lambda convolutions, layer, step, model, cache, scratch: None  # noqa: ARG005 - there are none

    def convolve(convolutions, layer, step, model, cache, scratch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        _convolve_tokens(convolutions, layer, step, model, cache.convolved, scratch)

    return convolve


@overload(convolve_prompt, **CHOICE)  # type: ignore[untyped-decorator]
def _choose_prompt(
    convolutions: Any, layer: Any, worker: Any, n_workers: Any, team: Any, model: Any, cache: Any, prompt: Any
) -> Any:
    if holds(convolutions, Absent):
        return lambda convolutions, layer, worker, n_workers, team, model, cache, prompt: None  # noqa: ARG005 - there are none

    def convolve(convolutions, layer, worker, n_workers, team, model, cache, prompt):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - compiled
        _convolve_prompt(convolutions, layer, worker, n_workers, team, model, cache.convolved, prompt)

    return convolve
