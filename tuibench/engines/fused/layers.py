"""What differs from layer to layer: sizes, and where the layer's weights, keys and values lie.

Layers have heads of up to two widths, and feed-forwards of up to two (Gemma 4). Each width has stacks of matrices and a
store of its own, so that nothing is padded: the narrower ones', and the wider ones', which are empty in most models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.decoder.description import Attention, Decoder, Layer

Numbers = NDArray[np.int64]


class Layers(NamedTuple):
    """One number a layer."""

    head_dims: Numbers
    n_kv_heads: Numbers
    qkv_rows: Numbers
    """Queries and, where the layer has its own, keys and values."""
    value_starts: Numbers
    """The row of them with which values begin; those of keys where values are the keys, not yet normalised."""
    query_norms: Numbers
    """Length of the norm: of one head, of all together, or 0."""
    key_norms: Numbers
    own_keys: Numbers
    """0 where a layer reads the keys and values of an earlier one."""
    wide_heads: Numbers
    """Whether its heads are the wider ones; the next is its place among the layers of this width."""
    places: Numbers
    n_matrices: Numbers
    """How many matrices each sequence has in the store of this width."""
    first_matrices: Numbers
    """Which of them is the first that the layer reads."""
    widths: Numbers
    """Of the feed-forward."""
    wide_feeds: Numbers
    """As those of heads."""
    feed_places: Numbers


def head_widths(decoder: Decoder) -> list[int]:
    """Return the widths of heads, the narrowest first."""
    return sorted({layer.attention.head_dim for layer in decoder.layers})


def feed_widths(decoder: Decoder) -> list[int]:
    """Return the same of feed-forwards."""
    return sorted({layer.feed.width for layer in decoder.layers})


def is_varied(decoder: Decoder) -> bool:
    """Return whether a model needs the kernels that know two widths and layers that read the token again."""
    one_width = len(head_widths(decoder)) == len(feed_widths(decoder)) == 1
    return not one_width or any(layer.weights.keys() & {"layer_scale", "input_gate"} for layer in decoder.layers)


def by_width(decoder: Decoder, role: str) -> tuple[list[Layer], list[Layer]]:
    """Return the layers whose matrix of a role lies in the narrower stack, and those of the wider one."""
    if role.startswith("input_"):  # as wide in all layers
        return list(decoder.layers), []
    of_feed = role.startswith("mlp_")
    narrow = (feed_widths if of_feed else head_widths)(decoder)[0]
    wide = [(layer.feed.width if of_feed else layer.attention.head_dim) > narrow for layer in decoder.layers]
    narrower = [layer for layer, is_wide in zip(decoder.layers, wide, strict=True) if not is_wide]
    return narrower, [layer for layer, is_wide in zip(decoder.layers, wide, strict=True) if is_wide]


def matrices_by_width(decoder: Decoder) -> tuple[int, int]:
    """Return how many KV heads of all layers a sequence has in each store."""
    counts = Counter[int]()
    for attention in decoder.caching.values():
        counts[attention.head_dim] += attention.n_kv_heads
    return counts[head_widths(decoder)[0]], counts[head_widths(decoder)[-1]] if len(head_widths(decoder)) > 1 else 0


def qkv_rows(attention: Attention) -> int:
    """Return the rows of the product of queries, keys and values."""
    n_parts = 0 if attention.keys_of is not None else 1 if attention.keys_as_values else 2
    return attention.query_width + n_parts * attention.key_width


def new_layers(decoder: Decoder) -> Layers:
    """Return what a decoder's layers are."""
    each = [layer.attention for layer in decoder.layers]
    wide_heads = [int(attention.head_dim > head_widths(decoder)[0]) for attention in each]
    wide_feeds = [int(layer.feed.width > feed_widths(decoder)[0]) for layer in decoder.layers]
    n_matrices, firsts, taken = matrices_by_width(decoder), list[int](), [0, 0]
    for attention, wide in zip(each, wide_heads, strict=True):
        firsts.append(taken[wide] if attention.keys_of is None else firsts[attention.keys_of])
        taken[wide] += attention.n_kv_heads if attention.keys_of is None else 0
    keys = [0 if attention.keys_as_values else attention.key_width for attention in each]
    return Layers(
        head_dims=_numbers([attention.head_dim for attention in each]),
        n_kv_heads=_numbers([attention.n_kv_heads for attention in each]),
        qkv_rows=_numbers([qkv_rows(attention) for attention in each]),
        value_starts=_numbers([attention.query_width + more for attention, more in zip(each, keys, strict=True)]),
        query_norms=_numbers([_norm_width(layer, "query_norm") for layer in decoder.layers]),
        key_norms=_numbers([_norm_width(layer, "key_norm") for layer in decoder.layers]),
        own_keys=_numbers([int(attention.keys_of is None) for attention in each]),
        wide_heads=_numbers(wide_heads),
        places=_numbers(_places(wide_heads)),
        n_matrices=_numbers([n_matrices[wide] for wide in wide_heads]),
        first_matrices=_numbers(firsts),
        widths=_numbers([layer.feed.width for layer in decoder.layers]),
        wide_feeds=_numbers(wide_feeds),
        feed_places=_numbers(_places(wide_feeds)),
    )


def toy_layers(width: int) -> Layers:
    """Return one layer of one head."""
    one = dict.fromkeys(Layers._fields, _numbers([0]))
    own = {name: _numbers([width]) for name in ("head_dims", "widths")}
    rows = {"qkv_rows": _numbers([3 * width]), "value_starts": _numbers([2 * width])}
    return Layers(**one | own | rows | dict.fromkeys(("n_kv_heads", "own_keys", "n_matrices"), _numbers([1])))


def _norm_width(layer: Layer, role: str) -> int:
    return sum(stored.n_outputs for stored in layer.weights.get(role, ()))


def _places(wide: Sequence[int]) -> list[int]:
    return [wide[:index].count(kind) for index, kind in enumerate(wide)]


def _numbers(values: Sequence[int]) -> Numbers:
    return np.array(values, np.int64)
