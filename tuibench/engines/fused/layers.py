"""What differs from layer to layer: sizes, and where the layer's weights, keys and values lie.

Layers have heads of up to two widths, and feed-forwards of up to two (Gemma 4). Each width has stacks of matrices and a
store of its own, so that nothing is padded: the narrower ones', and the wider ones', which are empty in most models.

Where some layers have a convolution in place of attention (LFM2), heads are of one width, and the products of those
layers lie in the wider stacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.decoder.description import Attention, Decoder, Layer, ShortConvolution, packed_shape

Numbers = NDArray[np.int64]
_IN_PLACE_OF = {
    "qkv": "conv_in",
    "qkv_bias": "conv_in_bias",
    "attention_out": "conv_out",
    "attention_out_bias": "conv_out_bias",
}
"""Roles of attention and, where a layer has a convolution, of what is there instead."""


class Layers(NamedTuple):
    """One number a layer; those of heads are 0 where it has a convolution."""

    head_dims: Numbers
    n_kv_heads: Numbers
    qkv_rows: Numbers
    """Queries and, where the layer has its own, keys and values; or the three parts that a convolution reads."""
    value_starts: Numbers
    """The row of them with which values begin; those of keys where values are the keys, not yet normalised."""
    query_norms: Numbers
    """Length of the norm: of one head, of all together, or 0."""
    key_norms: Numbers
    own_keys: Numbers
    """0 where a layer reads the keys and values of an earlier one."""
    wide_heads: Numbers
    """Whether its heads are the wider ones, or it has a convolution; the next is its place among such layers."""
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
    return sorted({attention.head_dim for attention in decoder.attentions.values()})


def feed_widths(decoder: Decoder) -> list[int]:
    """Return the same of feed-forwards."""
    return sorted({layer.feed.width for layer in decoder.layers})


def is_varied(decoder: Decoder) -> bool:
    """Return whether a model needs the kernels that know two widths, convolutions, and layers told the token again."""
    one_width = len(head_widths(decoder)) == len(feed_widths(decoder)) == 1
    told_again = any(layer.weights.keys() & {"layer_scale", "input_gate"} for layer in decoder.layers)
    return not one_width or told_again or bool(decoder.convolving)


def role_of(layer: Layer, name: str) -> str:
    """Return the role of what a layer has in the stack, or the table, that is named after attention's."""
    return _IN_PLACE_OF.get(name, name) if isinstance(layer.mixer, ShortConvolution) else name


def by_width(decoder: Decoder, role: str) -> tuple[list[Layer], list[Layer]]:
    """Return the layers whose matrix of a role lies in the narrower stack, and those of the wider one."""
    if role.startswith("input_"):  # as wide in all layers
        return list(decoder.layers), []
    wide = _wide_feeds(decoder) if role.startswith("mlp_") else _wide_heads(decoder)
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
    wide_heads, wide_feeds = _wide_heads(decoder), _wide_feeds(decoder)
    heads = [_heads(layer) for layer in decoder.layers]
    n_matrices = matrices_by_width(decoder)
    return Layers(
        **{name: _numbers([each[name] for each in heads]) for name in heads[0]},
        query_norms=_numbers([_norm_width(layer, "query_norm") for layer in decoder.layers]),
        key_norms=_numbers([_norm_width(layer, "key_norm") for layer in decoder.layers]),
        wide_heads=_numbers(wide_heads),
        places=_numbers(_places(wide_heads)),
        n_matrices=_numbers([n_matrices[wide] for wide in wide_heads]),
        first_matrices=_numbers(_first_matrices(decoder, wide_heads)),
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


def _wide_heads(decoder: Decoder) -> list[int]:
    narrow, attentions = head_widths(decoder)[0], decoder.attentions
    return [int(i not in attentions or attentions[i].head_dim > narrow) for i in range(decoder.n_layers)]


def _wide_feeds(decoder: Decoder) -> list[int]:
    narrow = feed_widths(decoder)[0]
    return [int(layer.feed.width > narrow) for layer in decoder.layers]


def _heads(layer: Layer) -> dict[str, int]:
    mixer = layer.mixer
    if isinstance(mixer, ShortConvolution):
        none = dict.fromkeys(("head_dims", "n_kv_heads", "value_starts", "own_keys"), 0)
        return none | {"qkv_rows": packed_shape(layer.weights["conv_in"])[0]}
    return {
        "head_dims": mixer.head_dim,
        "n_kv_heads": mixer.n_kv_heads,
        "qkv_rows": qkv_rows(mixer),
        "value_starts": mixer.query_width + (0 if mixer.keys_as_values else mixer.key_width),
        "own_keys": int(mixer.keys_of is None),
    }


def _first_matrices(decoder: Decoder, wide_heads: Sequence[int]) -> list[int]:
    firsts, taken = list[int](), [0, 0]
    for index, wide in enumerate(wide_heads):
        attention = decoder.attentions.get(index)
        if attention is not None and attention.keys_of is not None:
            firsts.append(firsts[attention.keys_of])
            continue
        firsts.append(taken[wide])
        taken[wide] += attention.n_kv_heads if attention is not None else 0
    return firsts


def _norm_width(layer: Layer, role: str) -> int:
    return sum(stored.n_outputs for stored in layer.weights.get(role, ()))


def _places(wide: Sequence[int]) -> list[int]:
    return [wide[:index].count(kind) for index, kind in enumerate(wide)]


def _numbers(values: Sequence[int]) -> Numbers:
    return np.array(values, np.int64)
