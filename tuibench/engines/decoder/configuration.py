"""A decoder's `config.json`, completed as transformers completes it; what changes the arithmetic is never skipped."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.defaults import (
    ALIASES,
    DEFAULT_THETAS,
    DEFAULTS,
    OLDER_NAMES,
    SAID_ANYWAY,
    WITHOUT_EFFECT,
)
from tuibench.engines.decoder.description import Activation

ACTIVATIONS: Mapping[Activation, tuple[str, ...]] = {
    "silu": ("silu", "swish"),
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast"),
    "gelu": ("gelu", "gelu_python"),
    "relu": ("relu",),
    "relu_squared": ("relu2",),
}
"""Those that there are graphs and kernels of, with the names that transformers has for them."""

_READ_ELSEWHERE = frozenset({"rope_theta", "rope_scaling", "partial_rotary_factor", "original_max_position_embeddings"})
_WINDOW = frozenset({"use_sliding_window", "max_window_layers"})
"""Without effect where there is no `sliding_window`."""
_QUANTISED = ("quantization_config", "compression_config", "quantization")
_CHANGES_ARITHMETIC = re.compile(
    r"""multiplier | soft_?cap | scal(e|ing) | (^|_)(rope|rotary|alibi|mup|ntk|logn) | window | layer_types
    | residual | parallel_attn | interleave | (^|_)clip_ | logits?_cap | attention_chunk | temperature_tuning
    | query_pre_attn | qk_(layer)?norm | post_norm | nextn | mtp | kv_shared | dim_model_base | per_layer_config""",
    re.VERBOSE,
)
"""Names that relatives of these types, and code of a model's own, give to what no tensor shows."""
_FACTORS = re.compile(r"multiplier|scal(e|ing)|factor|ratio|pct|interval")
"""Names of what changes nothing when it is 1."""
_MOST_SHOWN = 60


def completed(config: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """Return the settings of one of the types in `DEFAULTS`.

    Raises:
        UnsupportedModelError: One of them would change the arithmetic in a way that is not known here. transformers
            ignores a setting that is not its type's; whoever wrote it meant another model than it would run.
    """
    if any(config.get(key) for key in _QUANTISED):
        raise UnsupportedModelError("the weights are quantised already; use the model's FP32, FP16 or BF16 version")
    if config.get("is_encoder_decoder"):
        raise UnsupportedModelError("config.json tells of an encoder-decoder model; only decoders generate here")
    settings = {**DEFAULTS[model_type], **config}
    if model_type in DEFAULT_THETAS:
        settings.setdefault("rope_theta", DEFAULT_THETAS[model_type])
    for alias, key in ALIASES.get(model_type, {}).items():
        if alias in config:
            settings[key] = settings.pop(alias)
    known = DEFAULTS[model_type].keys() | WITHOUT_EFFECT | _READ_ELSEWHERE | _WINDOW
    known |= OLDER_NAMES.get(model_type, frozenset())
    said = SAID_ANYWAY.get(model_type, {})
    for key in settings.keys() - known:
        value = settings[key]
        if key in said and value == said[key]:
            continue
        if _CHANGES_ARITHMETIC.search(key) and "drop" not in key and not _is_off(key, value, settings):
            raise UnsupportedModelError(
                f"config.json sets {key} to {shortened(value)}, which is not a setting of {model_type} models; "
                "it would change what the model computes, and no method here does that"
            )
    return settings


def _is_off(key: str, value: object, settings: Mapping[str, Any]) -> bool:
    """Return whether a setting says in so many words that nothing is changed."""
    match key, value:
        case "layer_types", list():
            return all(kind == "full_attention" for kind in value)
        case "sliding_window_size", int():  # what Gemma 2 called it before
            return value == settings.get("sliding_window")
        case "sliding_window", int() if value > 0:
            window = settings.get("max_position_embeddings")
            return isinstance(window, int) and value >= window
    return not value or (value == 1 and not isinstance(value, bool) and _FACTORS.search(key) is not None)


def check_activation(name: object, meant: Activation) -> None:
    """Refuse an activation that is not the one meant.

    Raises:
        UnsupportedModelError: It is not.
    """
    known = ACTIVATIONS[meant]
    if name not in known:
        raise UnsupportedModelError(
            f"the activation {shortened(name)} is not described here; known: {', '.join(known)}"
        )


def size(settings: Mapping[str, Any], key: str) -> int:
    """Return a setting that has to be a whole number above zero.

    Raises:
        UnsupportedModelError: It is not.
    """
    value = settings[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnsupportedModelError(
            f"config.json sets {key} to {shortened(value)}; a whole number above 0 was expected"
        )
    return value


def factor(settings: Mapping[str, Any], key: str) -> float:
    """Return a setting that has to be a finite number above zero.

    Raises:
        UnsupportedModelError: It is not.
    """
    value = settings[key]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise UnsupportedModelError(f"config.json sets {key} to {shortened(value)}; a number above 0 was expected")
    return float(value)


def shortened(value: object) -> str:
    """Return a value as one line of an error can show it."""
    shown = repr(value)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[: _MOST_SHOWN - 1]}…"
