"""What Llama and its relatives share: rotary positions, grouped KV heads, the names of their tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import check_activation, size
from tuibench.engines.decoder.description import Activation, Attention, Decoder, Feed, Layer, Stored, Weights
from tuibench.engines.decoder.rope import check_rope, head_order, rotated_width

_BUFFERS = re.compile(r"rotary_emb\.inv_freq")
_GATED = (("gate_proj", "up_proj"), "down_proj")
_UNGATED: Mapping[Activation, tuple[tuple[str, ...], str]] = {
    "gelu_tanh": (("c_fc",), "c_proj"),
    "relu_squared": (("up_proj",), "down_proj"),
}
Norms = Literal["before", "after", "both"]
_NORMS: Mapping[Norms, Mapping[str, str]] = {
    "before": {"attention_norm": "input_layernorm", "feed_norm": "post_attention_layernorm"},
    "after": {"attention_out_norm": "post_attention_layernorm", "mlp_down_norm": "post_feedforward_layernorm"},
    "both": {
        "attention_norm": "input_layernorm",
        "attention_out_norm": "post_attention_layernorm",
        "feed_norm": "pre_feedforward_layernorm",
        "mlp_down_norm": "post_feedforward_layernorm",
    },
}
Windows = tuple[int | None, ...]
Parts = tuple[Stored, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the code of a relative does otherwise than Llama's; no setting shows it."""

    qkv_bias: bool | None = None
    """Whether queries, keys and values have biases; None where `attention_bias` says so."""
    out_bias: bool | None = None
    """The same of attention's output."""
    qk_norm: Literal["head", "all"] | None = None
    qk_norm_names: tuple[str, str] = ("q_norm", "k_norm")
    norm_after_rotation: bool = False
    norms: Norms = "before"
    """Whether a layer's norms are taken of what it reads, of what it adds, or of both."""
    norm_offset: float = 0.0
    """What the weights of RMS norms are stored without."""
    scale: float | None = None
    """The factor on query times key; None where it follows from a head's width."""
    softcap: float | None = None
    """What attention's scores stay below."""
    norm: Literal["rms", "layer"] = "rms"
    activation: Activation = "silu"
    gated: bool = True
    packed: bool = False
    """Whether queries, keys and values are one tensor, gate and up projection another."""
    rotates_neighbours: bool = False
    """Whether it turns elements 2i and 2i + 1 of a head together, not those half a head apart."""
    partly_rotated: bool = False
    """Whether `partial_rotary_factor` means something to it."""
    unrotated: frozenset[int] = frozenset()
    """Layers that do not rotate at all."""


LLAMA = Traits()


def describe(settings: Mapping[str, Any], windows: Windows, traits: Traits = LLAMA) -> Decoder:
    """Describe a Llama or a relative.

    Args:
        settings: What `completed` has gone through.
        windows: How far each layer looks back.
        traits: What differs from a Llama.

    Raises:
        UnsupportedModelError: It uses what cannot be described.
    """
    check_activation(settings["hidden_act"], traits.activation)
    hidden, n_heads = size(settings, "hidden_size"), size(settings, "num_attention_heads")
    n_kv_heads = n_heads if settings["num_key_value_heads"] is None else size(settings, "num_key_value_heads")
    if n_heads % n_kv_heads:
        raise UnsupportedModelError(f"{n_heads} attention heads cannot share {n_kv_heads} KV heads; see config.json")
    head_dim = hidden // n_heads if settings.get("head_dim") is None else size(settings, "head_dim")
    if head_dim % 2:
        raise UnsupportedModelError(f"a head {head_dim} wide cannot be rotated in pairs; see config.json")
    biased = bool(settings.get("attention_bias"))
    feed = Feed(
        width=size(settings, "intermediate_size"),
        activation=traits.activation,
        gated=traits.gated,
        bias=bool(settings.get("mlp_bias")),
    )
    attentions = [
        Attention(
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_dim=head_dim,
            qkv_bias=biased if traits.qkv_bias is None else traits.qkv_bias,
            out_bias=biased if traits.out_bias is None else traits.out_bias,
            qk_norm=traits.qk_norm,
            norm_after_rotation=traits.norm_after_rotation,
            rotated=index not in traits.unrotated,
            window=window,
            scale=head_dim**-0.5 if traits.scale is None else traits.scale,
            softcap=traits.softcap,
        )
        for index, window in enumerate(windows)
    ]
    rope = check_rope(settings, may_be_partial=traits.partly_rotated)
    order = head_order(rotated_width(rope, head_dim), head_dim, neighbours=traits.rotates_neighbours)
    table = (size(settings, "vocab_size"), hidden)
    return Decoder(
        model_type=settings["model_type"],
        vocabulary=table[0],
        hidden=hidden,
        norm=traits.norm,
        norm_epsilon=settings["rms_norm_eps"],
        layers=tuple(
            Layer(
                name=f"layers.{index}",
                mixer=attention,
                feed=feed,
                weights=_in_order(_layer_weights(f"layers.{index}", hidden, attention, feed, traits), order),
            )
            for index, attention in enumerate(attentions)
        ),
        weights={
            "embedding": (Stored("embed_tokens.weight", table),),
            **_norm("final_norm", "norm", hidden, traits),
            "head": (Stored("lm_head.weight", table),),
        },
        prefix="model.",
        buffers=_BUFFERS,
        tied_head=bool(settings["tie_word_embeddings"]),
        context_window=size(settings, "max_position_embeddings"),
        rope=rope,
    )


def _layer_weights(name: str, hidden: int, attention: Attention, feed: Feed, traits: Traits) -> dict[str, Parts]:
    query, key = attention.query_width, attention.key_width
    qkv = ("qkv_proj",) * 3 if traits.packed else ("q_proj", "k_proj", "v_proj")
    up, down = _GATED if feed.gated else _UNGATED[feed.activation]
    up = ("gate_up_proj",) * 2 if traits.packed else up
    products = {
        "qkv": ("self_attn", qkv, (query, key, key), hidden, attention.qkv_bias),
        "attention_out": ("self_attn", ("o_proj",), (hidden,), query, attention.out_bias),
        "mlp_up": ("mlp", up, (feed.width,) * len(up), hidden, feed.bias),
        "mlp_down": ("mlp", (down,), (hidden,), feed.width, feed.bias),
    }
    weights: dict[str, Parts] = {}
    for role, tensor in _NORMS[traits.norms].items():
        weights |= _norm(role, f"{name}.{tensor}", hidden, traits)
    if attention.qk_norm is not None:
        widths = (query, key) if attention.qk_norm == "all" else (attention.head_dim,) * 2
        for role, tensor, width in zip(("query_norm", "key_norm"), traits.qk_norm_names, widths, strict=True):
            weights[role] = (Stored(f"{name}.self_attn.{tensor}.weight", (width,), offset=traits.norm_offset),)
    for role, (block, tensors, sizes, n_inputs, biased) in products.items():
        parts = _consecutive([f"{name}.{block}.{tensor}" for tensor in tensors], sizes)
        weights[role] = tuple(
            replace(part, name=f"{part.name}.weight", shape=(*part.shape, n_inputs)) for part in parts
        )
        if biased:
            weights[f"{role}_bias"] = tuple(replace(part, name=f"{part.name}.bias") for part in parts)
    return weights


def _norm(role: str, name: str, width: int, traits: Traits) -> dict[str, Parts]:
    """Return the tensors of a norm of the residual."""
    suffixes = {"": "weight"} if traits.norm == "rms" else {"": "weight", "_bias": "bias"}
    offset = traits.norm_offset
    return {
        f"{role}{ending}": (Stored(f"{name}.{suffix}", (width,), offset=offset),) for ending, suffix in suffixes.items()
    }


def _consecutive(names: Sequence[str], sizes: Sequence[int]) -> Parts:
    """Return the outputs of a role's parts; those of one name lie in one tensor, one after the other."""
    if len(set(names)) == len(names):
        return tuple(Stored(name, (size,)) for name, size in zip(names, sizes, strict=True))
    ends = list(accumulate(sizes))
    return tuple(
        Stored(name, (ends[-1],), rows=range(end - size, end))
        for name, size, end in zip(names, sizes, ends, strict=True)
    )


def _in_order(weights: dict[str, Parts], order: tuple[int, ...]) -> Weights:
    """Return the same with the heads of queries and keys in another order."""
    turned = {role: weights[role] for role in ("qkv", "qkv_bias") if role in weights}
    return weights | {
        role: (*(replace(part, head_order=order) for part in (query, key)), value)
        for role, (query, key, value) in turned.items()
    }
