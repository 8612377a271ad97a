"""How large a KV-cache is at which length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class KvCacheSize(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What each token adds to a KV-cache: one key and one value for each layer and KV head."""

    bytes_per_token: int
    """Over the layers that look back at every token."""
    sliding_bytes_per_token: int = 0
    """Over the layers that look back only so far."""
    window: int | None = None
    """How far those look, in tokens."""

    def at(self, length: int) -> int:
        """Return the bytes that `length` tokens need, which is also what decoding the next token reads."""
        recent = length if self.window is None else min(length, self.window)
        return self.bytes_per_token * length + self.sliding_bytes_per_token * recent


def kv_cache_size(config: Mapping[str, Any], value_bytes: int, scale_bytes: int = 0) -> KvCacheSize | None:
    """Return the size of a model's KV-cache; None where its configuration does not tell.

    Args:
        config: The model's `config.json`: transformers' names for Llama-like models, GPT-2's own for GPT-2.
        value_bytes: Size of one stored number: 4 for FP32.
        scale_bytes: What is stored beside each key and each value of a head.
    """
    config = config.get("text_config") or config
    n_layers = config.get("num_hidden_layers") or config.get("n_layer")
    n_heads = config.get("num_attention_heads") or config.get("n_head")
    hidden = config.get("hidden_size") or config.get("n_embd")
    if not (n_layers and n_heads and hidden):
        return None
    n_kv_heads = config.get("num_key_value_heads") or n_heads
    head_size = config.get("head_dim") or hidden // n_heads
    layer_bytes = 2 * n_kv_heads * (head_size * value_bytes + scale_bytes)
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    n_sliding = _sliding_layers(config, n_layers) if window else 0
    return KvCacheSize(
        bytes_per_token=layer_bytes * (n_layers - n_sliding),
        sliding_bytes_per_token=layer_bytes * n_sliding,
        window=window if n_sliding else None,
    )


def _sliding_layers(config: Mapping[str, Any], n_layers: int) -> int:
    """Return how many layers look back only so far: as listed, else all of them."""
    kinds = config.get("layer_types")
    return n_layers if kinds is None else sum(kind == "sliding_attention" for kind in kinds)
