"""Llama and its relatives, one after the other: what each does otherwise, and how far its layers look back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import factor, shortened, size
from tuibench.engines.decoder.defaults import DEFAULT_THETAS
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.decoder.llama import Traits, Windows, describe
from tuibench.engines.decoder.rope import check_rope, rope_by_layer_type, rope_settings, switching_length

_PHI3_ROTATIONS = ("default", "longrope")
_MINISTRAL3_ROPE: Mapping[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 1_000_000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale_all_dim": 1.0,
    "mscale": 1.0,
    "llama_4_scaling_beta": 0.1,
}
"""Where a file says nothing."""


def read_llama(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Llama, SmolLM2 among them."""
    return describe(settings, _no_windows(settings))  # `completed` refuses a Llama with a window


def read_arcee(settings: Mapping[str, Any]) -> Decoder:
    """Describe an Arcee (AFM): a feed-forward without a gate."""
    return describe(settings, _no_windows(settings), Traits(activation="relu_squared", gated=False))


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
        windows = _windows_by_interval(settings, interval)
    unrotated = frozenset(index for index, each in enumerate(windows) if window is not None and each is None)
    traits = Traits(qkv_bias=False, out_bias=False, qk_norm="head", norms="after", unrotated=unrotated)
    return describe(settings, windows, traits)


def read_gemma(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Gemma: a gate of GELU, norms stored as what they are more than 1, scaled embeddings."""
    return _gemma(settings, _no_windows(settings), Traits())


def read_gemma2(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Gemma 2: four norms a layer, every other layer with a window, scores and logits with a cap."""
    cap = _cap(settings, "attn_logit_softcapping")
    traits = Traits(norms="both", scale=factor(settings, "query_pre_attn_scalar") ** -0.5, softcap=cap)
    windows = _windows_by_type(settings, _window(settings)) or _windows_by_interval(settings, 2)
    return _gemma(_activation_named(settings), windows, traits)


def read_gemma3(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Gemma 3's text side: most layers have a window and a rotation of their own."""
    if settings["attn_logit_softcapping"] is not None:  # a setting of its configuration that its code forgets
        raise UnsupportedModelError("config.json caps the scores of attention, which transformers does in no Gemma 3")
    windows = _windows_by_type(settings, _window(settings))
    if windows is None:
        windows = _windows_by_interval(settings, size(settings, "sliding_window_pattern"))
    traits = Traits(norms="both", scale=factor(settings, "query_pre_attn_scalar") ** -0.5, qk_norm="head")
    thetas = settings["rope_theta"], settings["rope_local_base_freq"]
    return _by_layer_type(settings, thetas, lambda named: _gemma(_activation_named(named), windows, traits))


def _gemma(settings: Mapping[str, Any], windows: Windows, traits: Traits) -> Decoder:
    if settings["use_bidirectional_attention"]:
        raise UnsupportedModelError("config.json has attention look ahead; only decoders generate here")
    decoder = describe(settings, windows, replace(traits, activation="gelu_tanh", norm_offset=1.0))
    cap = _cap(settings, "final_logit_softcapping") if "final_logit_softcapping" in settings else None
    return replace(decoder, embedding_scale=decoder.hidden**0.5, logit_softcap=cap)


def _activation_named(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "hidden_act": settings["hidden_activation"]}


def _cap(settings: Mapping[str, Any], key: str) -> float | None:
    return None if settings[key] is None else factor(settings, key)


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


def read_hunyuan(settings: Mapping[str, Any]) -> Decoder:
    """Describe a dense Hunyuan: queries and keys are normalised after they are rotated; its NTK factor is fixed."""
    names = ("query_layernorm", "key_layernorm")
    traits = Traits(qk_norm="head", qk_norm_names=names, norm_after_rotation=True)
    return describe(_with_fixed_ntk(settings), _no_windows(settings), traits)


def _with_fixed_ntk(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings with a base wavelength that a fixed `alpha` has stretched (bloc97's NTK-aware scaling)."""
    rope = rope_settings(settings)
    if rope.get("rope_type", rope.get("type")) != "dynamic" or not rope.get("alpha"):
        return settings
    head_dim = settings["head_dim"] or size(settings, "hidden_size") // size(settings, "num_attention_heads")
    theta = rope.get("rope_theta", settings.get("rope_theta", 10_000.0))
    stretched = factor({"rope_theta": theta}, "rope_theta") * factor(rope, "alpha") ** (head_dim / (head_dim - 2))
    return {**settings, "rope_scaling": {"rope_type": "default", "rope_theta": stretched}}


def read_mistral(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Mistral: a Llama that may look back only so far."""
    return describe(settings, (_window(settings),) * _n_layers(settings))


def read_ministral(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Ministral: a Mistral whose layers may differ in whether they look back only so far."""
    window = _window(settings)
    return describe(settings, _windows_by_type(settings, window) or (window,) * _n_layers(settings))


def read_ministral3(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Ministral 3: a Mistral up to the length beyond which it scales queries by their positions.

    Longer texts are not described.
    """
    rope = rope_settings(settings) or dict(_MINISTRAL3_ROPE)
    by_position = rope.pop("llama_4_scaling_beta", None)
    rope.pop("max_position_embeddings", None)  # said once more there, and not read
    windows = (_window(settings),) * _n_layers(settings)
    decoder = describe({**settings, "rope_scaling": None, "rope_parameters": rope}, windows)
    if not by_position:
        return decoder
    length = size(decoder.rope, "original_max_position_embeddings")
    return replace(decoder, context_window=min(length, size(settings, "max_position_embeddings")))


def read_olmo2(settings: Mapping[str, Any]) -> Decoder:
    """Describe an OLMo 2: norms after; those of queries and keys are of all heads together."""
    return describe(settings, _no_windows(settings), Traits(qk_norm="all", norms="after"))


def read_olmo3(settings: Mapping[str, Any]) -> Decoder:
    """Describe an OLMo 3: an OLMo 2 of which every fourth layer sees all, and may rotate otherwise than the others."""
    theta = DEFAULT_THETAS["olmo3"]  # that of layers with a window, whatever the file says
    traits = Traits(qk_norm="all", norms="after")
    windows = _windows_by_type(settings, _window(settings)) or _windows_by_interval(settings, 4)
    return _by_layer_type(settings, (settings["rope_theta"], theta), lambda named: describe(named, windows, traits))


def read_phi3(settings: Mapping[str, Any]) -> Decoder:
    """Describe a Phi-3: its weights are packed, and it may rotate the first elements of each head only."""
    windows = (_window(settings),) * _n_layers(settings)
    traits = Traits(qkv_bias=False, out_bias=False, packed=True, partly_rotated=True)
    decoder = describe(_with_longrope(settings), windows, traits)
    if (kind := decoder.rope["rope_type"]) not in _PHI3_ROTATIONS:
        known = ", ".join(_PHI3_ROTATIONS)
        raise UnsupportedModelError(f"a Phi-3 with a {kind} rotary embedding is not described here; known: {known}")
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
            raise UnsupportedModelError(
                f"config.json sets {key} to {shortened(settings[key])}, which is not described here"
            )
    named = {"partial_rotary_factor": 0.25, **settings, "rms_norm_eps": settings["layer_norm_eps"]}
    biased = bool(settings["use_qkv_bias"])
    traits = Traits(norm="layer", qkv_bias=biased, out_bias=False, partly_rotated=True)
    return describe(named, _no_windows(settings), traits)


def read_starcoder2(settings: Mapping[str, Any]) -> Decoder:
    """Describe a StarCoder2: layer norms, a feed-forward without a gate, biases everywhere or nowhere."""
    biases = dict.fromkeys(("attention_bias", "mlp_bias"), settings["use_bias"])
    named = {**settings, **biases, "rms_norm_eps": settings["norm_epsilon"]}
    traits = Traits(norm="layer", activation="gelu_tanh", gated=False)
    return describe(named, (_window(settings),) * _n_layers(settings), traits)


def _with_longrope(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a Phi-3 with today's name of its extended rotation."""
    rope = rope_settings(settings)
    if rope.get("rope_type", rope.get("type")) not in {"su", "yarn"}:
        return settings
    return {**settings, "rope_scaling": {**rope, "rope_type": "longrope"}}


def _by_layer_type(
    settings: Mapping[str, Any], thetas: tuple[float, float], describe_all: Callable[[Mapping[str, Any]], Decoder]
) -> Decoder:
    """Describe a decoder whose layers with a window are rotated by a table of their own.

    Args:
        settings: The settings.
        thetas: Base wavelengths of layers without and with a window, where the rotary parameters say nothing.
        describe_all: Describes it with the rotary parameters of layers without a window.
    """
    full, sliding = rope_by_layer_type(settings, *thetas)
    decoder = describe_all({**settings, "rope_scaling": None, "rope_parameters": full})
    local_rope = check_rope({**settings, "rope_scaling": None, "rope_parameters": sliding})
    if switching_length(local_rope) is not None:
        raise UnsupportedModelError("config.json has the rotation of layers with a window change with the length")
    return replace(decoder, local_rope=local_rope)


def _windows_by_interval(settings: Mapping[str, Any], interval: int) -> Windows:
    """Return windows that every `interval`-th layer lacks."""
    window = _window(settings)
    return tuple(window if index % interval else None for index in range(1, _n_layers(settings) + 1))


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
