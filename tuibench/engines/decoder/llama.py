"""Llama and its relatives: RMS norms, rotary positions, grouped KV heads, a feed-forward with a gate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import check_activation, factor, shortened, size
from tuibench.engines.decoder.description import Attention, Decoder, Feed, Layer, Stored, Weights
from tuibench.engines.decoder.rope import check_rope

_SILU = ("silu", "swish")
_BUFFERS = re.compile(r"rotary_emb\.inv_freq")
Windows = tuple[int | None, ...]


def read_llama(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Llama, SmolLM2 among them."""
    return _read(settings, "llama", _no_windows(settings))  # `completed` refuses a Llama with a window


def read_granite(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Granite: a Llama with factors.

    All are divided by the one on what is added to the residual, which norms undo if their epsilon is divided by its
    square: matrices stay as they are stored.
    """
    residual = factor(settings, "residual_multiplier")
    decoder = _read(settings, "granite", _no_windows(settings), scale=factor(settings, "attention_multiplier"))
    final_norm = tuple(
        replace(stored, factor=1 / factor(settings, "logits_scaling")) for stored in decoder.weights["final_norm"]
    )
    return replace(
        decoder,
        norm_epsilon=decoder.norm_epsilon / residual**2,
        embedding_scale=factor(settings, "embedding_multiplier") / residual,
        weights={**decoder.weights, "final_norm": final_norm},
    )


def read_mistral(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Mistral: a Llama that may look back only so far."""
    windowed = settings["sliding_window"] is not None
    window = size(settings, "sliding_window") if windowed else None
    return _read(settings, "mistral", (window,) * _n_layers(settings))


def read_ministral(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Ministral: a Mistral whose layers may differ in whether they look back only so far."""
    windowed = settings["sliding_window"] is not None
    window = size(settings, "sliding_window") if windowed else None
    return _read(settings, "ministral", _windows_by_type(settings, window) or (window,) * _n_layers(settings))


def read_qwen2(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Qwen2; its code, not its settings, says that queries, keys and values have biases."""
    return _read(settings, "qwen2", _qwen_windows(settings), qkv_bias=True, out_bias=False)


def read_qwen3(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Qwen3: queries and keys are normalised."""
    return _read(settings, "qwen3", _qwen_windows(settings), qk_norm=True)


def read_seed_oss(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Seed-OSS: a Llama whose attention has biases of its own at the end."""
    return _read(settings, "seed_oss", _no_windows(settings), out_bias=bool(settings["attention_out_bias"]))


def _read(
    settings: Mapping[str, Any],
    model_type: str,
    windows: Windows,
    *,
    qkv_bias: bool | None = None,
    out_bias: bool | None = None,
    qk_norm: bool = False,
    scale: float | None = None,
) -> Decoder:
    check_activation(settings["hidden_act"], _SILU)
    hidden, n_heads = size(settings, "hidden_size"), size(settings, "num_attention_heads")
    n_kv_heads = n_heads if settings["num_key_value_heads"] is None else size(settings, "num_key_value_heads")
    if n_heads % n_kv_heads:
        raise UnsupportedModelError(f"{n_heads} attention heads cannot share {n_kv_heads} KV heads; see config.json")
    head_dim = hidden // n_heads if settings["head_dim"] is None else size(settings, "head_dim")
    if head_dim % 2:
        raise UnsupportedModelError(f"a head {head_dim} wide cannot be rotated in pairs; see config.json")
    biased = bool(settings.get("attention_bias"))
    feed = Feed(
        width=size(settings, "intermediate_size"),
        activation="silu",
        gated=True,
        bias=bool(settings.get("mlp_bias")),
    )
    attentions = [
        Attention(
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_dim=head_dim,
            qkv_bias=biased if qkv_bias is None else qkv_bias,
            out_bias=biased if out_bias is None else out_bias,
            qk_norm=qk_norm,
            window=window,
            scale=head_dim**-0.5 if scale is None else scale,
        )
        for window in windows
    ]
    table = (size(settings, "vocab_size"), hidden)
    return Decoder(
        model_type=model_type,
        vocabulary=table[0],
        hidden=hidden,
        norm="rms",
        norm_epsilon=settings["rms_norm_eps"],
        layers=tuple(_layer(f"layers.{index}", hidden, each, feed) for index, each in enumerate(attentions)),
        weights={
            "embedding": (Stored("embed_tokens.weight", table),),
            "final_norm": (Stored("norm.weight", (hidden,)),),
            "head": (Stored("lm_head.weight", table),),
        },
        prefix="model.",
        buffers=_BUFFERS,
        tied_head=bool(settings["tie_word_embeddings"]),
        context_window=size(settings, "max_position_embeddings"),
        rope=check_rope(settings),
    )


def _layer(name: str, hidden: int, attention: Attention, feed: Feed) -> Layer:
    query, key = attention.query_width, attention.key_width
    products = {
        "qkv": (("self_attn.q_proj", query), ("self_attn.k_proj", key), ("self_attn.v_proj", key)),
        "attention_out": (("self_attn.o_proj", hidden),),
        "mlp_up": (("mlp.gate_proj", feed.width), ("mlp.up_proj", feed.width)),
        "mlp_down": (("mlp.down_proj", hidden),),
    }
    n_inputs = {"qkv": hidden, "attention_out": query, "mlp_up": hidden, "mlp_down": feed.width}
    biased = {"qkv": attention.qkv_bias, "attention_out": attention.out_bias, "mlp_up": feed.bias}
    biased["mlp_down"] = feed.bias
    norms = {"attention_norm": ("input_layernorm", hidden), "feed_norm": ("post_attention_layernorm", hidden)}
    if attention.qk_norm:
        norms["query_norm"] = ("self_attn.q_norm", attention.head_dim)
        norms["key_norm"] = ("self_attn.k_norm", attention.head_dim)
    weights: Weights = {
        **{
            role: tuple(Stored(f"{name}.{part}.weight", (n_outputs, n_inputs[role])) for part, n_outputs in parts)
            for role, parts in products.items()
        },
        **{
            f"{role}_bias": tuple(Stored(f"{name}.{part}.bias", (n_outputs,)) for part, n_outputs in parts)
            for role, parts in products.items()
            if biased[role]
        },
        **{role: (Stored(f"{name}.{part}.weight", (width,)),) for role, (part, width) in norms.items()},
    }
    return Layer(name=name, attention=attention, feed=feed, weights=weights)


def _n_layers(settings: Mapping[str, Any]) -> int:
    return size(settings, "num_hidden_layers")


def _no_windows(settings: Mapping[str, Any]) -> Windows:
    return (None,) * _n_layers(settings)


def _qwen_windows(settings: Mapping[str, Any]) -> Windows:
    windowed = bool(settings.get("use_sliding_window")) and settings["sliding_window"] is not None
    window = size(settings, "sliding_window") if windowed else None
    return _windows_by_type(settings, window) or tuple(
        window if index >= settings["max_window_layers"] else None for index in range(_n_layers(settings))
    )


def _windows_by_type(settings: Mapping[str, Any], window: int | None) -> Windows | None:
    """Return the windows that `layer_types` gives the layers, or None where it is not set."""
    n_layers, kinds = _n_layers(settings), settings["layer_types"]
    if kinds is None:
        return None
    meant = {"full_attention": None} if window is None else {"full_attention": None, "sliding_attention": window}
    if not isinstance(kinds, list) or len(kinds) != n_layers or any(kind not in meant for kind in kinds):
        raise UnsupportedModelError(
            f"config.json sets layer_types to {shortened(kinds)}, which does not fit {n_layers} layers "
            f"{'without a window' if window is None else f'with a window of {window}'}"
        )
    return tuple(meant[kind] for kind in kinds)
