"""Gemma 4: heads of two widths, layers that read another's keys and values, layers that are told the token again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import factor, shortened, size
from tuibench.engines.decoder.description import Attention, Decoder, Layer, Stored
from tuibench.engines.decoder.llama import Traits, describe
from tuibench.engines.decoder.rope import check_rope, rope_by_layer_type
from tuibench.models.layer_settings import settings_by_layer

_SLIDING, _FULL = "sliding_attention", "full_attention"
_FULL_EVERY = 6
_FULL_HEAD_DIM = 512
_OF_KEYS = ("k_proj", "v_proj", "k_norm", "v_norm")
_BY_LAYER = {"head_dim", "num_key_value_heads"}
_PROPORTIONAL = {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1_000_000.0}
"""The rotation of layers that see all where a file says nothing."""


def read_gemma4(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Gemma 4's text side."""
    if settings["use_bidirectional_attention"] == "all":
        raise UnsupportedModelError("config.json has attention look ahead; only decoders generate here")
    if settings.get("enable_moe_block"):
        raise UnsupportedModelError("a Gemma 4 with experts beside its feed-forward is not described here")
    if settings.get("rope_scaling"):
        raise UnsupportedModelError("config.json sets rope_scaling, which transformers does not read of a Gemma 4")
    kinds = _kinds(settings)
    sources = _keys_of(kinds, settings["num_kv_shared_layers"])
    ropes = _ropes(settings)
    variants = {
        (kind, wide): _variant(settings, kinds, kind, ropes[kind], wide=wide) for kind in set(kinds) for wide in (0, 1)
    }
    wide = bool(settings["use_double_wide_mlp"])
    layers = []
    for index, (kind, source) in enumerate(zip(kinds, sources, strict=True)):
        layer = variants[kind, int(wide and source is not None)].layers[index]
        shares = bool(settings["attention_k_eq_v"]) and kind == _FULL
        layers.append(_with_scale(_with_attention(layer, source, keys_as_values=shares)))
    decoder = variants[_FULL, 0]
    cap = settings["final_logit_softcapping"]
    decoder = replace(
        decoder,
        embedding_scale=decoder.hidden**0.5,
        layers=tuple(layers),
        buffers=_not_read(decoder, sources),
        local_rope=check_rope({**settings, "rope_parameters": ropes[_SLIDING]}) if _SLIDING in kinds else {},
        logit_softcap=None if cap is None else factor(settings, "final_logit_softcapping"),
    )
    return _with_layer_inputs(decoder, settings) if settings.get("hidden_size_per_layer_input") else decoder


def _kinds(settings: Mapping[str, Any]) -> list[str]:
    """Return what each layer attends to; the last one sees all, whatever a file says."""
    n_layers, kinds = size(settings, "num_hidden_layers"), settings["layer_types"]
    if kinds is None:
        kinds = [_FULL if index % _FULL_EVERY == 0 else _SLIDING for index in range(1, n_layers + 1)]
    if not isinstance(kinds, list) or len(kinds) != n_layers or not set(kinds) <= {_SLIDING, _FULL}:
        raise UnsupportedModelError(
            f"config.json sets layer_types to {shortened(kinds)}, which does not fit {n_layers} layers with a window"
        )
    return [*kinds[:-1], _FULL]


def _keys_of(kinds: list[str], n_shared: object) -> list[int | None]:
    """Return for each layer the one before the first that shares whose keys and values it reads, if not its own."""
    if not isinstance(n_shared, int) or not 0 <= n_shared < len(kinds):
        raise UnsupportedModelError(
            f"config.json sets num_kv_shared_layers to {shortened(n_shared)}; fewer than {len(kinds)} were expected"
        )
    first = len(kinds) - n_shared
    latest = {kind: index for index, kind in enumerate(kinds[:first])}
    if missing := set(kinds[first:]) - latest.keys():
        raise UnsupportedModelError(
            f"config.json has layers with {min(missing)} share keys that no earlier layer keeps; see layer_types"
        )
    return [None] * first + [latest[kind] for kind in kinds[first:]]


def _ropes(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if not settings["rope_parameters"]:
        return {_FULL: _PROPORTIONAL, _SLIDING: {"rope_type": "default", "rope_theta": 10_000.0}}
    full, sliding = rope_by_layer_type(settings, 10_000.0, 10_000.0)
    return {_FULL: full, _SLIDING: sliding}


def _variant(settings: Mapping[str, Any], kinds: list[str], kind: str, rope: dict[str, Any], *, wide: int) -> Decoder:
    """Describe the model as if all of its layers were of one kind."""
    window = size(settings, "sliding_window")
    named = {
        **settings,
        **_sizes(settings, kinds, kind),
        "hidden_act": settings["hidden_activation"],
        "intermediate_size": size(settings, "intermediate_size") * (1 + wide),
        "rope_parameters": rope,
    }
    traits = Traits(norms="both", activation="gelu_tanh", scale=1.0, qk_norm="head")
    return describe(named, tuple(window if each == _SLIDING else None for each in kinds), traits)


def _sizes(settings: Mapping[str, Any], kinds: list[str], kind: str) -> dict[str, Any]:
    """Return what is otherwise in layers of a kind: in those that see all, the width of heads and perhaps their number.

    Newer files give it layer by layer.
    """
    try:
        by_layer = settings_by_layer(settings)
    except ValueError:
        by_layer = {len(kinds): None}  # refused below, as a layer is that the model lacks
    if by_layer is None:
        heads = settings.get("num_global_key_value_heads") if settings["attention_k_eq_v"] else None
        width = size({"global_head_dim": _FULL_HEAD_DIM, **settings}, "global_head_dim")
        every = {"head_dim": width, "num_key_value_heads": heads}
        return {key: value for key, value in every.items() if value is not None} if kind == _FULL else {}
    each = [by_layer.get(index, {}) for index, other in enumerate(kinds) if other == kind]
    known = by_layer.keys() <= set(range(len(kinds)))
    if not known or any(one != each[0] or not isinstance(one, dict) or one.keys() - _BY_LAYER for one in each):
        raise UnsupportedModelError(
            f"config.json sets per_layer_config to {shortened(settings['per_layer_config'])}; heads that are the same "
            f"in all layers with {kind} were expected"
        )
    return dict(each[0])


def _with_attention(layer: Layer, source: int | None, *, keys_as_values: bool) -> Layer:
    """Return a layer with the parts of queries, keys and values that it has, and values that are normalised."""
    n_parts = 1 if source is not None else 2 if keys_as_values else 3
    weights = {
        role: parts[:n_parts] if role in {"qkv", "qkv_bias"} else parts
        for role, parts in layer.weights.items()
        if source is None or role != "key_norm"
    }
    attention: Attention = replace(
        layer.attention, value_norm=True, keys_as_values=keys_as_values and source is None, keys_of=source
    )
    return replace(layer, mixer=attention, weights=weights)


def _with_scale(layer: Layer) -> Layer:
    return replace(layer, weights={**layer.weights, "layer_scale": (Stored(f"{layer.name}.layer_scalar", (1,)),)})


def _with_layer_inputs(decoder: Decoder, settings: Mapping[str, Any]) -> Decoder:
    width, hidden = size(settings, "hidden_size_per_layer_input"), decoder.hidden
    all_widths, half = decoder.n_layers * width, 2.0**-0.5
    layers = tuple(
        replace(
            layer,
            weights={
                **layer.weights,
                "input_gate": (Stored(f"{layer.name}.per_layer_input_gate.weight", (width, hidden)),),
                "input_out": (Stored(f"{layer.name}.per_layer_projection.weight", (hidden, width)),),
                "input_out_norm": (Stored(f"{layer.name}.post_per_layer_input_norm.weight", (hidden,)),),
            },
        )
        for layer in decoder.layers
    )
    table = (size(settings, "vocab_size_per_layer_input"), all_widths)
    projection = Stored("per_layer_model_projection.weight", (all_widths, hidden), factor=hidden**-0.5)
    weights = {
        **decoder.weights,
        "layer_embedding": (Stored("embed_tokens_per_layer.weight", table),),
        "layer_projection": (projection,),
        # The sum of both is multiplied by this.
        "layer_projection_norm": (Stored("per_layer_projection_norm.weight", (width,), factor=half),),
    }
    return replace(decoder, layers=layers, weights=weights, layer_input=width, layer_embedding_scale=width**0.5 * half)


def _not_read(decoder: Decoder, sources: list[int | None]) -> re.Pattern[str]:
    """Return a pattern of names that checkpoints may hold of layers that read another's keys, and nobody reads."""
    shared = "|".join(str(index) for index, source in enumerate(sources) if source is not None)
    if not shared:
        return decoder.buffers
    return re.compile(rf"{decoder.buffers.pattern}|^layers\.({shared})\.self_attn\.({'|'.join(_OF_KEYS)})\.")
