"""GPT-2: layer norms, learned positions, biases everywhere, a feed-forward without a gate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import check_activation, size
from tuibench.engines.decoder.description import Attention, Decoder, Feed, Layer, Stored

_BUFFERS = re.compile(r"^h\.\d+\.attn\.(masked_)?bias$")


def read_gpt2(settings: Mapping[str, Any]) -> Decoder:
    """Describe a GPT-2."""
    check_activation(settings["activation_function"], "gelu_tanh")
    if settings["add_cross_attention"]:
        raise UnsupportedModelError("cross-attention belongs to an encoder-decoder model; only decoders generate here")
    hidden, n_heads, n_layers = (size(settings, key) for key in ("n_embd", "n_head", "n_layer"))
    if hidden % n_heads:
        raise UnsupportedModelError(f"{n_heads} attention heads cannot share a width of {hidden}; see config.json")
    scale = (hidden // n_heads) ** -0.5 if settings["scale_attn_weights"] else 1.0
    by_layer = settings["scale_attn_by_inverse_layer_idx"]
    scales = [scale / (index + 1) if by_layer else scale for index in range(n_layers)]
    width = 4 * hidden if settings["n_inner"] is None else size(settings, "n_inner")
    feed = Feed(width=width, activation="gelu_tanh", gated=False, bias=True)
    table, window = (size(settings, "vocab_size"), hidden), size(settings, "n_positions")
    return Decoder(
        model_type="gpt2",
        vocabulary=table[0],
        hidden=hidden,
        norm="layer",
        norm_epsilon=settings["layer_norm_epsilon"],
        layers=tuple(_layer(f"h.{index}", hidden, n_heads, scale, feed) for index, scale in enumerate(scales)),
        weights={
            "embedding": (Stored("wte.weight", table),),
            "positions": (Stored("wpe.weight", (window, hidden)),),
            "final_norm": (Stored("ln_f.weight", (hidden,)),),
            "final_norm_bias": (Stored("ln_f.bias", (hidden,)),),
            "head": (Stored("lm_head.weight", table),),
        },
        prefix="transformer.",
        buffers=_BUFFERS,
        tied_head=bool(settings["tie_word_embeddings"]),
        context_window=window,
        rope={},
    )


def _layer(name: str, hidden: int, n_heads: int, scale: float, feed: Feed) -> Layer:
    products = {
        "qkv": ("attn.c_attn", hidden, 3 * hidden),
        "attention_out": ("attn.c_proj", hidden, hidden),
        "mlp_up": ("mlp.c_fc", hidden, feed.width),
        "mlp_down": ("mlp.c_proj", feed.width, hidden),
    }
    weights: dict[str, tuple[Stored, ...]] = {}
    for role, (part, n_inputs, n_outputs) in products.items():
        # transformers' Conv1D keeps its weight as [inputs, outputs].
        weights[role] = (Stored(f"{name}.{part}.weight", (n_inputs, n_outputs), transposed=True),)
        weights[f"{role}_bias"] = (Stored(f"{name}.{part}.bias", (n_outputs,)),)
    for role, part in {"attention_norm": "ln_1", "feed_norm": "ln_2"}.items():
        weights[role] = (Stored(f"{name}.{part}.weight", (hidden,)),)
        weights[f"{role}_bias"] = (Stored(f"{name}.{part}.bias", (hidden,)),)
    attention = Attention(
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=hidden // n_heads,
        qkv_bias=True,
        out_bias=True,
        qk_norm=None,
        rotated=False,
        window=None,
        scale=scale,
    )
    return Layer(name=name, mixer=attention, feed=feed, weights=weights)
