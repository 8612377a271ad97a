"""LFM2: most layers look at the last few positions only, by a short convolution in place of attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import factor, shortened, size
from tuibench.engines.decoder.description import Decoder, Layer, ShortConvolution, Stored
from tuibench.engines.decoder.llama import Traits, describe

_KINDS = {"conv", "full_attention"}
_OF_ATTENTION = ("qkv", "attention_out", "query_norm", "key_norm")
_NAMES = {
    "input_layernorm": "operator_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.o_proj": "self_attn.out_proj",
    "self_attn.q_norm": "self_attn.q_layernorm",
    "self_attn.k_norm": "self_attn.k_layernorm",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
}
"""What a Llama calls the tensors of a layer, and an LFM2."""


def read_lfm2(settings: Mapping[str, Any]) -> Decoder:
    """Describe an LFM2."""
    kinds = _kinds(settings)
    named = {
        **settings,
        "hidden_act": "silu",
        "rms_norm_eps": settings["norm_eps"],
        "intermediate_size": _feed_width(settings),
        "tie_word_embeddings": settings.get("tie_embedding", settings["tie_word_embeddings"]),
    }
    decoder = describe(named, (None,) * len(kinds), Traits(qk_norm="head"))
    convolution = ShortConvolution(width=size(settings, "conv_L_cache"), bias=bool(settings["conv_bias"]))
    layers = [_renamed(layer) for layer in decoder.layers]
    return replace(
        decoder,
        layers=tuple(
            _with_convolution(layer, convolution, decoder.hidden) if kind == "conv" else layer
            for layer, kind in zip(layers, kinds, strict=True)
        ),
        weights={**decoder.weights, "final_norm": (Stored("embedding_norm.weight", (decoder.hidden,)),)},
    )


def _kinds(settings: Mapping[str, Any]) -> list[str]:
    n_layers, kinds = size(settings, "num_hidden_layers"), settings["layer_types"]
    if kinds is None:
        attending = settings["full_attn_idxs"]
        attending = list(range(n_layers)) if attending is None else attending
        if not isinstance(attending, list):
            raise UnsupportedModelError(
                f"config.json sets full_attn_idxs to {shortened(attending)}; the layers with attention were expected"
            )
        kinds = ["full_attention" if index in attending else "conv" for index in range(n_layers)]
    if not isinstance(kinds, list) or len(kinds) != n_layers or not set(kinds) <= _KINDS:
        raise UnsupportedModelError(
            f"config.json sets layer_types to {shortened(kinds)}, which does not fit {n_layers} layers with a "
            "convolution or attention"
        )
    if "full_attention" not in kinds:
        raise UnsupportedModelError("config.json has no layer with attention; a model without is not described here")
    return kinds


def _feed_width(settings: Mapping[str, Any]) -> int:
    """Return the width of the feed-forwards, as `Lfm2MLP` makes it from what the file says."""
    width = size(settings, "block_ff_dim" if "block_ff_dim" in settings else "intermediate_size")
    if not settings["block_auto_adjust_ff_dim"]:
        return width
    width = int(2 * width / 3)
    if settings["block_ffn_dim_multiplier"] is None:
        return width
    step = size(settings, "block_multiple_of")
    return step * -(-int(factor(settings, "block_ffn_dim_multiplier") * width) // step)


def _renamed(layer: Layer) -> Layer:
    def named(stored: Stored) -> Stored:
        block, _, suffix = stored.name.removeprefix(f"{layer.name}.").rpartition(".")
        return replace(stored, name=f"{layer.name}.{_NAMES.get(block, block)}.{suffix}")

    return replace(layer, weights={role: tuple(map(named, parts)) for role, parts in layer.weights.items()})


def _with_convolution(layer: Layer, convolution: ShortConvolution, hidden: int) -> Layer:
    name = f"{layer.name}.conv"
    weights = {role: parts for role, parts in layer.weights.items() if role not in _OF_ATTENTION}
    weights |= {
        "conv_in": (Stored(f"{name}.in_proj.weight", (3 * hidden, hidden)),),
        "conv_kernel": (Stored(f"{name}.conv.weight", (hidden, 1, convolution.width)),),
        "conv_out": (Stored(f"{name}.out_proj.weight", (hidden, hidden)),),
    }
    if convolution.bias:
        weights |= {
            "conv_in_bias": (Stored(f"{name}.in_proj.bias", (3 * hidden,)),),
            "conv_kernel_bias": (Stored(f"{name}.conv.bias", (hidden,)),),
            "conv_out_bias": (Stored(f"{name}.out_proj.bias", (hidden,)),),
        }
    return replace(layer, mixer=convolution, weights=weights)
