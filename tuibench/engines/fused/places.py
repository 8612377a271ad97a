"""How the kernels find what belongs to a layer, among what those of its widths have; see `layers`."""

from __future__ import annotations

from typing import Any, TypeVar

from numba.extending import overload

from tuibench.engines.fused.cache import Cache, Store
from tuibench.engines.fused.compiler import CHOICE, kernel
from tuibench.engines.fused.kernels.heads import finish_head, normalise_together
from tuibench.engines.fused.kernels.matrix import holds
from tuibench.engines.fused.kernels.vector import Vector, rms_norm
from tuibench.engines.fused.matrices import Absent, Matrix
from tuibench.engines.fused.model import Model

_Stack = TypeVar("_Stack", Matrix, Store)


def of_width(is_wide: int, narrow: _Stack, wide: _Stack | Absent) -> _Stack:
    """Return one of two stacks, or stores; where there are no wider ones, the only one."""
    raise NotImplementedError  # chosen by type, while compiling


@overload(of_width, **CHOICE)  # type: ignore[untyped-decorator]  # Numba carries no types
def _choose_width(is_wide: Any, narrow: Any, wide: Any) -> Any:
    if holds(wide, Absent):
        return lambda is_wide, narrow, wide: narrow  # noqa: ARG005 - there are no others
    return lambda is_wide, narrow, wide: wide if is_wide else narrow


@kernel
def matrix_of(layer: int, kv_head: int, sequence: int, model: Model) -> int:
    """Return which of the store's matrices a sequence has for a KV head of a layer."""
    layers = model.layers
    return int(sequence * layers.n_matrices[layer] + layers.first_matrices[layer] + kv_head)


@kernel
def head_of(
    layer: int, qkv: Vector, index: int, model: Model, cache: Cache, position: int, space: Vector, out: Vector
) -> None:
    """Bring one head of queries or keys into its final form."""
    shape, layers, vectors = model.shape, model.layers, model.vectors
    head = qkv[index * layers.head_dims[layer] : (index + 1) * layers.head_dims[layer]]
    if index < shape.n_heads:
        norms = vectors.query_norm[layer][: layers.query_norms[layer]]
    else:
        norms = vectors.key_norm[layer][: layers.key_norms[layer]]
    n_pairs, table = vectors.rotated_pairs[layer], vectors.rotations[layer]
    cosine, sine = cache.cosine[table, position][:n_pairs], cache.sine[table, position][:n_pairs]
    finish_head(head, norms, shape.norm_after_rotation, shape.epsilon, cosine, sine, space[: head.size], out)


@kernel
def finish_value(layer: int, qkv: Vector, kv_head: int, model: Model) -> int:
    """Return where the value of a KV head begins; where a model does that, it is normalised, once its key was read."""
    head_dim = model.layers.head_dims[layer]
    start, norms = model.layers.value_starts[layer] + kv_head * head_dim, model.vectors.value_norm[layer]
    if norms.size:
        value = qkv[start : start + head_dim]
        rms_norm(value, norms[:head_dim], model.shape.epsilon, value)
    return int(start)


@kernel
def normalise_all_heads(layer: int, qkv: Vector, model: Model) -> None:
    """Normalise the queries, and the keys, of all heads together, where a model does that."""
    layers, vectors, epsilon = model.layers, model.vectors, model.shape.epsilon
    head_dim = layers.head_dims[layer]
    n_queries, n_keys = model.shape.n_heads * head_dim, layers.n_kv_heads[layer] * head_dim
    normalise_together(qkv[:n_queries], vectors.query_norm[layer][: layers.query_norms[layer]], head_dim, epsilon)
    keys = qkv[n_queries : n_queries + n_keys]
    normalise_together(keys, vectors.key_norm[layer][: layers.key_norms[layer]], head_dim, epsilon)
