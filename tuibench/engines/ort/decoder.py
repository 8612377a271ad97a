"""What a decoder is, read from its `config.json`: everything the graph needs besides the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tuibench.core.kv_cache import KvCacheSize
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.ort.rope import check_rope
from tuibench.models.folder import read_config

Family = Literal["llama", "gpt2"]
FAMILIES: dict[str, Family] = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "llama",
    "qwen3": "llama",
    "gpt2": "gpt2",
}
SCORED_TOKENS = 64
"""Positions that are scored at once; their logits are the largest array then."""
_GELU_TANH = frozenset({"gelu_new", "gelu_pytorch_tanh", "gelu_fast"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """A decoder-only transformer of one of the two families."""

    family: Family
    model_type: str
    vocabulary: int
    hidden: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    norm_epsilon: float
    tied_head: bool
    """Whether the output head is the embedding table."""
    qk_norm: bool
    """Whether queries and keys are normalised per head before they are rotated."""
    windows: tuple[int | None, ...]
    """For each layer, how many positions it attends to, its own included; None where it sees all."""
    attention_scales: tuple[float, ...]
    """For each layer, the factor on query times key."""
    context_window: int | None
    rope: dict[str, Any]
    """Parameters of the rotary embedding; empty where positions are learned."""

    def kv_cache(self, value_bytes: int = 4, scale_bytes: int = 0) -> KvCacheSize:
        """Return the size of a KV-cache.

        Args:
            value_bytes: Size of one stored number: 4 for FP32.
            scale_bytes: What is stored besides, for each key and each value of a head.
        """
        layer_bytes = 2 * self.n_kv_heads * (self.head_dim * value_bytes + scale_bytes)
        sliding = [window for window in self.windows if window is not None]
        return KvCacheSize(
            bytes_per_token=layer_bytes * (self.n_layers - len(sliding)),
            sliding_bytes_per_token=layer_bytes * len(sliding),
            window=max(sliding, default=None),
        )


def read_decoder(model_dir: Path) -> Decoder:
    """Return the decoder in a model folder.

    Raises:
        ModelError: `config.json` is missing or unreadable.
        UnsupportedModelError: It is of another family, or uses what the graphs here cannot express.
    """
    config = read_config(model_dir, model_dir.name)
    model_type = config.get("model_type", "")
    family = FAMILIES.get(model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise UnsupportedModelError(f"no ONNX graph for the architecture {model_type or 'unknown'!r}; known: {known}")
    if config.get("quantization_config"):
        raise UnsupportedModelError("the weights are quantised already; use the model's FP32, FP16 or BF16 version")
    try:
        return _gpt2(config) if family == "gpt2" else _llama(config, model_type)
    except KeyError as error:
        raise UnsupportedModelError(f"config.json of {model_dir.name} lacks {error.args[0]!r}") from error


def _llama(config: dict[str, Any], model_type: str) -> Decoder:
    if config.get("hidden_act", "silu") != "silu":
        raise UnsupportedModelError(f"the activation {config['hidden_act']!r} has no graph; known: silu")
    hidden, n_heads, n_layers = config["hidden_size"], config["num_attention_heads"], config["num_hidden_layers"]
    # Qwen3's own default, unlike the others', does not follow from the width.
    default_head_dim = 128 if model_type == "qwen3" else hidden // n_heads
    head_dim = config.get("head_dim") or default_head_dim
    context_window = config.get("max_position_embeddings")
    return Decoder(
        family="llama",
        model_type=model_type,
        vocabulary=config["vocab_size"],
        hidden=hidden,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=config.get("num_key_value_heads") or n_heads,
        head_dim=head_dim,
        norm_epsilon=config.get("rms_norm_eps", 1e-6),
        tied_head=config.get("tie_word_embeddings", False),
        qk_norm=model_type == "qwen3",
        windows=_windows(config, model_type, n_layers),
        attention_scales=(head_dim**-0.5,) * n_layers,
        context_window=context_window,
        rope=check_rope(config),
    )


def _windows(config: dict[str, Any], model_type: str, n_layers: int) -> tuple[int | None, ...]:
    if model_type == "mistral":
        return (config.get("sliding_window", 4096),) * n_layers
    window = config.get("sliding_window")
    if model_type == "llama" or not config.get("use_sliding_window") or window is None:
        return (None,) * n_layers
    kinds = config.get("layer_types")
    if kinds is None:
        first = config.get("max_window_layers", n_layers)
        return tuple(window if index >= first else None for index in range(n_layers))
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _gpt2(config: dict[str, Any]) -> Decoder:
    activation = config.get("activation_function", "gelu_new")
    if activation not in _GELU_TANH:
        raise UnsupportedModelError(f"the activation {activation!r} has no graph; known: {', '.join(_GELU_TANH)}")
    if config.get("add_cross_attention"):
        raise UnsupportedModelError("cross-attention belongs to an encoder-decoder model; only decoders generate here")
    hidden, n_heads, n_layers = config["n_embd"], config["n_head"], config["n_layer"]
    head_dim = hidden // n_heads
    scale = head_dim**-0.5 if config.get("scale_attn_weights", True) else 1.0
    by_layer = config.get("scale_attn_by_inverse_layer_idx", False)
    return Decoder(
        family="gpt2",
        model_type="gpt2",
        vocabulary=config["vocab_size"],
        hidden=hidden,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=head_dim,
        norm_epsilon=config.get("layer_norm_epsilon", 1e-5),
        tied_head=config.get("tie_word_embeddings", True),
        qk_norm=False,
        windows=(None,) * n_layers,
        attention_scales=tuple(scale / (index + 1) if by_layer else scale for index in range(n_layers)),
        context_window=config["n_positions"],
        rope={},
    )
