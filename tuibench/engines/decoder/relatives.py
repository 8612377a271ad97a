"""Llama and its relatives, one after the other: what each does otherwise, and how far its layers look back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import factor, shortened, size
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.decoder.llama import Traits, Windows, describe


def read_llama(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Llama, SmolLM2 among them."""
    return describe(settings, _no_windows(settings))  # `completed` refuses a Llama with a window


def read_arcee(settings: Mapping[str, Any]) -> Decoder:
    """Describe an Arcee (AFM): a feed-forward without a gate."""
    return describe(settings, _no_windows(settings), Traits(activation="relu_squared"))


def read_ernie(settings: Mapping[str, Any]) -> Decoder:
    """Describe a dense ERNIE 4.5: all of its products have biases or none, and it rotates neighbours."""
    biases = dict.fromkeys(("attention_bias", "mlp_bias"), settings["use_bias"])
    return describe({**settings, **biases}, _no_windows(settings), Traits(rotates_neighbours=True))


def read_exaone4(settings: Mapping[str, Any]) -> Decoder:
    """Describe an EXAONE 4: norms after; where some of its layers have a window, the others do not rotate."""
    window, n_layers = _window(settings), _n_layers(settings)
    windows = _windows_by_type(settings, window)
    if windows is None:
        interval = n_layers + 1 if window is None else size(settings, "sliding_window_pattern")
        windows = tuple(window if index % interval else None for index in range(1, n_layers + 1))
    unrotated = frozenset(index for index, each in enumerate(windows) if window is not None and each is None)
    traits = Traits(qkv_bias=False, out_bias=False, qk_norm="head", norms_after=True, unrotated=unrotated)
    return describe(settings, windows, traits)


def read_granite(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Granite: a Llama with factors.

    All are divided by the one on what is added to the residual, which norms undo if their epsilon is divided by its
    square: matrices stay as they are stored.
    """
    residual = factor(settings, "residual_multiplier")
    decoder = describe(settings, _no_windows(settings), Traits(scale=factor(settings, "attention_multiplier")))
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
    return describe(settings, (_window(settings),) * _n_layers(settings))


def read_ministral(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Ministral: a Mistral whose layers may differ in whether they look back only so far."""
    window = _window(settings)
    return describe(settings, _windows_by_type(settings, window) or (window,) * _n_layers(settings))


def read_olmo2(settings: Mapping[str, Any]) -> Decoder:
    """Describe an OLMo 2: norms after; those of queries and keys are of all heads together."""
    return describe(settings, _no_windows(settings), Traits(qk_norm="all", norms_after=True))


def read_phi3(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Phi-3: its weights are packed, and it may rotate the first elements of each head only."""
    windows = (_window(settings),) * _n_layers(settings)
    decoder = describe(settings, windows, Traits(qkv_bias=False, out_bias=False, packed=True, partly_rotated=True))
    if (kind := decoder.rope["rope_type"]) != "default":
        raise UnsupportedModelError(f"a Phi-3 with a {kind} rotary embedding has no graph; known: default")
    return decoder


def read_qwen2(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Qwen2; its code, not its settings, says that queries, keys and values have biases."""
    return describe(settings, _qwen_windows(settings), Traits(qkv_bias=True, out_bias=False))


def read_qwen3(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Qwen3: queries and keys are normalised."""
    return describe(settings, _qwen_windows(settings), Traits(qk_norm="head"))


def read_seed_oss(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Seed-OSS: a Llama whose attention has biases of its own at the end."""
    return describe(settings, _no_windows(settings), Traits(out_bias=bool(settings["attention_out_bias"])))


def read_smollm3(settings: Mapping[str, Any]) -> Decoder:
    """Describe a SmolLM3: some of its layers do not rotate, and where it has a window, those have it."""
    unrotated, window = _unrotated(settings), _window(settings) if settings["use_sliding_window"] else None
    windows = _windows_by_type(settings, window) or tuple(
        window if index in unrotated else None for index in range(_n_layers(settings))
    )
    return describe(settings, windows, Traits(unrotated=unrotated))


def read_stablelm(settings: Mapping[str, Any]) -> Decoder:
    """Describe a StableLM: layer norms, and a quarter of each head rotated if nothing else is said."""
    for key in ("qk_layernorm", "use_parallel_residual"):
        if settings[key]:
            raise UnsupportedModelError(f"config.json sets {key} to {shortened(settings[key])}, which has no graph")
    named = {"partial_rotary_factor": 0.25, **settings, "rms_norm_eps": settings["layer_norm_eps"]}
    biased = bool(settings["use_qkv_bias"])
    traits = Traits(norm="layer", qkv_bias=biased, out_bias=False, partly_rotated=True)
    return describe(named, _no_windows(settings), traits)


def read_starcoder2(settings: Mapping[str, Any]) -> Decoder:
    """Describe a StarCoder2: layer norms, a feed-forward without a gate, biases everywhere or nowhere."""
    biases = dict.fromkeys(("attention_bias", "mlp_bias"), settings["use_bias"])
    named = {**settings, **biases, "rms_norm_eps": settings["norm_epsilon"]}
    return describe(named, (_window(settings),) * _n_layers(settings), Traits(norm="layer", activation="gelu_tanh"))


def _unrotated(settings: Mapping[str, Any]) -> frozenset[int]:
    n_layers, flags = _n_layers(settings), settings["no_rope_layers"]
    if flags is None:
        interval = size(settings, "no_rope_layer_interval")
        return frozenset(range(interval - 1, n_layers, interval))
    if not isinstance(flags, list) or len(flags) < n_layers or any(flag not in (0, 1) for flag in flags):
        raise UnsupportedModelError(
            f"config.json sets no_rope_layers to {shortened(flags)}; 0 or 1 for each of {n_layers} layers was expected"
        )
    return frozenset(index for index, rotates in enumerate(flags[:n_layers]) if not rotates)


def _n_layers(settings: Mapping[str, Any]) -> int:
    return size(settings, "num_hidden_layers")


def _window(settings: Mapping[str, Any]) -> int | None:
    return None if settings["sliding_window"] is None else size(settings, "sliding_window")


def _no_windows(settings: Mapping[str, Any]) -> Windows:
    return (None,) * _n_layers(settings)


def _qwen_windows(settings: Mapping[str, Any]) -> Windows:
    window = _window(settings) if settings["use_sliding_window"] else None
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
