"""What a decoder is, read from its `config.json`: everything the graph needs besides the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tuibench.core.kv_cache import KvCacheSize
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import completed, shortened, size
from tuibench.engines.decoder.rope import check_rope
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
_SILU = ("silu", "swish")
_GELU_TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast")


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
    intermediate: int
    """Width of the feed-forward."""
    norm_epsilon: float
    tied_head: bool
    """Whether the output head is meant to be the embedding table; `Checkpoint.head` knows whether it is."""
    qkv_bias: bool
    attention_out_bias: bool
    feed_bias: bool
    """Whether the feed-forward's products have biases, all of them."""
    qk_norm: bool
    """Whether queries and keys are normalised per head before they are rotated."""
    windows: tuple[int | None, ...]
    """For each layer, how many positions it attends to, its own included; None where it sees all."""
    attention_scales: tuple[float, ...]
    """For each layer, the factor on query times key."""
    context_window: int | None
    rope: dict[str, Any]
    """Parameters of the rotary embedding; empty where positions are learned."""

    def kv_cache(self, value_bytes: int = 4, scale_bytes: int = 0, *, by_window: bool = True) -> KvCacheSize:
        """Return the size of a KV-cache.

        Args:
            value_bytes: Size of one stored number: 4 for FP32.
            scale_bytes: What is stored besides, for each key and each value of a head.
            by_window: Whether attention with a window reads no further back than that.
        """
        layer_bytes = 2 * self.n_kv_heads * (self.head_dim * value_bytes + scale_bytes)
        sliding = [window for window in self.windows if window is not None] if by_window else []
        return KvCacheSize(
            bytes_per_token=layer_bytes * (self.n_layers - len(sliding)),
            sliding_bytes_per_token=layer_bytes * len(sliding),
            window=max(sliding, default=None),
        )


def read_decoder(model_dir: Path) -> Decoder:
    """Return the decoder in a model folder.

    Raises:
        ModelError: `config.json` is missing or unreadable.
        UnsupportedModelError: It is of another family, or uses what no method here can express.
    """
    config = read_config(model_dir, model_dir.name)
    model_type = config.get("model_type", "")
    family = FAMILIES.get(model_type)
    if family is None:
        known = ", ".join(FAMILIES)
        raise UnsupportedModelError(f"no ONNX graph for the architecture {model_type or 'unknown'!r}; known: {known}")
    settings = completed(config, model_type)
    return _gpt2(settings) if family == "gpt2" else _llama(settings, model_type)


def _llama(settings: Mapping[str, Any], model_type: str) -> Decoder:
    _check_activation(settings["hidden_act"], _SILU)
    hidden, n_heads, n_layers = (
        size(settings, key) for key in ("hidden_size", "num_attention_heads", "num_hidden_layers")
    )
    n_kv_heads = n_heads if settings["num_key_value_heads"] is None else size(settings, "num_key_value_heads")
    if n_heads % n_kv_heads:
        raise UnsupportedModelError(f"{n_heads} attention heads cannot share {n_kv_heads} KV heads; see config.json")
    head_dim = hidden // n_heads if settings["head_dim"] is None else size(settings, "head_dim")
    if head_dim % 2:
        raise UnsupportedModelError(f"a head {head_dim} wide cannot be rotated in pairs; see config.json")
    # Written into Qwen2's and Mistral's code instead of their settings.
    qkv_bias = model_type == "qwen2" or bool(settings.get("attention_bias"))
    return Decoder(
        family="llama",
        model_type=model_type,
        vocabulary=size(settings, "vocab_size"),
        hidden=hidden,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        intermediate=size(settings, "intermediate_size"),
        norm_epsilon=settings["rms_norm_eps"],
        tied_head=bool(settings["tie_word_embeddings"]),
        qkv_bias=qkv_bias,
        attention_out_bias=qkv_bias and model_type != "qwen2",
        feed_bias=bool(settings.get("mlp_bias")),
        qk_norm=model_type == "qwen3",
        windows=_windows(settings, model_type, n_layers),
        attention_scales=(head_dim**-0.5,) * n_layers,
        context_window=size(settings, "max_position_embeddings"),
        rope=check_rope(settings),
    )


def _windows(settings: Mapping[str, Any], model_type: str, n_layers: int) -> tuple[int | None, ...]:
    used = model_type == "mistral" or bool(settings.get("use_sliding_window"))
    if model_type == "llama" or not used or settings["sliding_window"] is None:
        window = None  # `completed` refuses a Llama with a window
    else:
        window = size(settings, "sliding_window")
    kinds = settings.get("layer_types")
    if model_type in {"llama", "mistral"}:
        return (window,) * n_layers
    if kinds is None:
        return tuple(window if index >= settings["max_window_layers"] else None for index in range(n_layers))
    meant = {"full_attention": None} if window is None else {"full_attention": None, "sliding_attention": window}
    if not isinstance(kinds, list) or len(kinds) != n_layers or any(kind not in meant for kind in kinds):
        raise UnsupportedModelError(
            f"config.json sets layer_types to {shortened(kinds)}, which does not fit {n_layers} layers "
            f"{'without a window' if window is None else f'with a window of {window}'}"
        )
    return tuple(meant[kind] for kind in kinds)


def _gpt2(settings: Mapping[str, Any]) -> Decoder:
    _check_activation(settings["activation_function"], _GELU_TANH)
    if settings["add_cross_attention"]:
        raise UnsupportedModelError("cross-attention belongs to an encoder-decoder model; only decoders generate here")
    hidden, n_heads, n_layers = (size(settings, key) for key in ("n_embd", "n_head", "n_layer"))
    if hidden % n_heads:
        raise UnsupportedModelError(f"{n_heads} attention heads cannot share a width of {hidden}; see config.json")
    head_dim = hidden // n_heads
    scale = head_dim**-0.5 if settings["scale_attn_weights"] else 1.0
    by_layer = settings["scale_attn_by_inverse_layer_idx"]
    return Decoder(
        family="gpt2",
        model_type="gpt2",
        vocabulary=size(settings, "vocab_size"),
        hidden=hidden,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=head_dim,
        intermediate=4 * hidden if settings["n_inner"] is None else size(settings, "n_inner"),
        norm_epsilon=settings["layer_norm_epsilon"],
        tied_head=bool(settings["tie_word_embeddings"]),
        qkv_bias=True,
        attention_out_bias=True,
        feed_bias=True,
        qk_norm=False,
        windows=(None,) * n_layers,
        attention_scales=tuple(scale / (index + 1) if by_layer else scale for index in range(n_layers)),
        context_window=size(settings, "n_positions"),
        rope={},
    )


def _check_activation(name: object, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnsupportedModelError(f"the activation {shortened(name)} has no graph; known: {', '.join(known)}")
