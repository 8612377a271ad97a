"""Tables of the rotary position embedding, as transformers' `modeling_rope_utils` computes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import shortened, size

_SETTINGS: Mapping[str, frozenset[str]] = {
    "default": frozenset(),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor"}),
    "yarn": frozenset({"factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"}),
    "longrope": frozenset({"factor", "attention_factor", "short_factor", "long_factor"}),
    "proportional": frozenset({"factor"}),
}
_MAY_BE_PARTIAL = {"default", "longrope"}
"""Where the code of a type asks for it; a proportional one always may."""
_NEEDED = {
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor",),
    "longrope": ("factor",),
}
_GENERAL = frozenset(
    {"rope_type", "type", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings", "finetuned"}
)


def rope_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a configuration says of the rotary embedding; where it has both names, transformers takes the older.

    Raises:
        UnsupportedModelError: It is not a table.
    """
    return _table(config.get("rope_scaling") or config.get("rope_parameters") or {})


def rope_by_layer_type(
    config: Mapping[str, Any], full_theta: float, sliding_theta: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a configuration says of layers that see all, and of those with a window.

    Args:
        config: `config.json`. Parameters under their older name are meant for layers that see all.
        full_theta: Base wavelength of the first where the parameters have none.
        sliding_theta: The same of the second.

    Raises:
        UnsupportedModelError: The parameters are not those of these two types.
    """
    given = _table(config.get("rope_parameters") or {})
    if given.keys() - {"full_attention", "sliding_attention"}:
        raise UnsupportedModelError(
            f"config.json sets rope_parameters to {shortened(given)}; "
            "those of full_attention and of sliding_attention were expected"
        )
    # A type that older files name only `type` then counts for nothing, in transformers as here.
    default = {"rope_type": "default"}
    full, sliding = (_table(given.get(kind) or default) for kind in ("full_attention", "sliding_attention"))
    full |= _table(config.get("rope_scaling") or {})
    return {"rope_theta": full_theta, **full}, {"rope_theta": sliding_theta, **sliding}


def _table(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UnsupportedModelError(
            f"config.json sets the rotary embedding to {shortened(given)}; parameters by name were expected"
        )
    return dict(given)


def check_rope(config: Mapping[str, Any], *, may_be_partial: bool = False) -> dict[str, Any]:
    """Return a configuration's rotary parameters, in the names that transformers 5 uses.

    Args:
        config: `config.json`.
        may_be_partial: Whether the model's code asks how much of each head is rotated.

    Raises:
        UnsupportedModelError: The variant has no fixed table, is not known here, or lacks a parameter.
    """
    rope = rope_settings(config)
    rope.setdefault("rope_theta", config.get("rope_theta", 10_000.0))
    kind = str(rope.setdefault("rope_type", rope.get("type", "default")))
    if kind not in _SETTINGS:
        raise UnsupportedModelError(f"rotary embedding {kind!r} is not described here; known: {', '.join(_SETTINGS)}")
    part = rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0
    if part != 1.0 and kind != "proportional" and not (may_be_partial and kind in _MAY_BE_PARTIAL):
        raise UnsupportedModelError(f"a {kind} rotary embedding of only a part of each head is not described here")
    rope["partial_rotary_factor"] = part
    for key in rope.keys() - _GENERAL - _SETTINGS[kind]:
        if rope[key] and rope[key] != 1:
            raise UnsupportedModelError(
                f"config.json sets {key} of a {kind} rotary embedding to {shortened(rope[key])}, "
                "which is not described here"
            )
    if kind in {"llama3", "yarn", "longrope"}:
        _complete_lengths(rope, config)
    for key in ("rope_theta", "partial_rotary_factor", *_NEEDED.get(kind, ())):
        if not isinstance(rope.get(key), int | float) or rope[key] <= 0:
            raise UnsupportedModelError(
                f"config.json sets {key} of a {kind} rotary embedding to {shortened(rope.get(key))}; "
                "a number above 0 was expected"
            )
    return rope


def _complete_lengths(rope: dict[str, Any], config: Mapping[str, Any]) -> None:
    window = size(config, "max_position_embeddings")
    # Phi-3's place for it, which transformers prefers for every type.
    if "original_max_position_embeddings" in config:
        rope["original_max_position_embeddings"] = config["original_max_position_embeddings"]
    rope.setdefault("original_max_position_embeddings", window)
    original = size(rope, "original_max_position_embeddings")
    if rope["rope_type"] in {"yarn", "longrope"} and rope.get("factor") is None:
        rope["factor"] = window / original


def switching_length(rope: Mapping[str, Any]) -> int | None:
    """Return the length beyond which all positions of a text are rotated otherwise; None where none does that."""
    return rope["original_max_position_embeddings"] if rope.get("rope_type") == "longrope" else None


def rotated_width(rope: Mapping[str, Any], head_dim: int) -> int:
    """Return how many elements of a head are rotated, its first ones; all where pairs lie half a head apart anyway.

    Raises:
        UnsupportedModelError: There are not so many, or they are not pairs.
    """
    part = 1.0 if rope["rope_type"] == "proportional" else rope["partial_rotary_factor"]
    width = int(head_dim * part)
    if width % 2 or not 0 < width <= head_dim:
        raise UnsupportedModelError(f"{width} elements of a head {head_dim} wide cannot be rotated; see config.json")
    if rope["rope_type"] == "longrope":
        for key in ("short_factor", "long_factor"):
            _check_factors(rope, key, width // 2)
    return width


def _check_factors(rope: Mapping[str, Any], key: str, n_pairs: int) -> None:
    given = rope.get(key)
    numbers = given if isinstance(given, list) else []
    if len(numbers) != n_pairs or not all(isinstance(each, int | float) and each > 0 for each in numbers):
        raise UnsupportedModelError(
            f"config.json sets {key} of the rotary embedding to {shortened(given)}; "
            f"{n_pairs} numbers above 0 were expected, one for each pair of a head that is rotated"
        )


def head_order(width: int, head_dim: int, *, neighbours: bool) -> tuple[int, ...]:
    """Return the order of a head's elements in which those of a pair lie half a head apart; empty if they do already.

    Scores stay the same if queries and keys are taken in the same order.

    Args:
        width: How many elements are rotated.
        head_dim: How many there are.
        neighbours: Whether the model pairs neighbours, and not elements half of `width` apart.
    """
    pairs = np.arange(width).reshape(-1, 2) if neighbours else np.arange(width).reshape(2, -1).T
    others = np.arange(width, head_dim).reshape(2, -1)
    order = [*pairs[:, 0], *others[0], *pairs[:, 1], *others[1]]
    return () if order == list(range(head_dim)) else tuple(map(int, order))


def rope_tables(
    rope: dict[str, Any], head_dim: int, length: int, *, long: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cosine and sine for positions below `length`, each of shape `[length, head_dim / 2]`.

    Element i of a head is meant to be paired with i + head_dim / 2; what is not rotated is turned by 0.

    Args:
        rope: What `check_rope` returned.
        head_dim: Elements of a head.
        length: Positions.
        long: Whether the text is longer than the `switching_length`.
    """
    frequencies, factors = rope_frequencies(rope, head_dim, long=long)
    angles = np.arange(length, dtype=np.float32)[:, None] * frequencies[None, :]
    return (np.cos(angles) * factors).astype(np.float32), (np.sin(angles) * factors).astype(np.float32)


def rope_frequencies(
    rope: dict[str, Any], head_dim: int, *, long: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the angular frequency of each pair of a head, and the factor on its cosine and sine: `[head_dim / 2]`.

    What is not rotated has frequency 0 and factor 1.
    """
    width = rotated_width(rope, head_dim)
    frequencies, factor = _frequencies(rope, width, long=long)
    others = (0, (head_dim - width) // 2)
    factors = np.pad(np.full(width // 2, factor, np.float32), others, constant_values=np.float32(1))
    return np.pad(frequencies, others), factors


def _frequencies(rope: dict[str, Any], head_dim: int, *, long: bool) -> tuple[NDArray[np.float32], float]:
    """Return the angular frequencies in FP32, where transformers rounds them, and the factor on both tables."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    base = (1.0 / np.float32(rope["rope_theta"]) ** exponents).astype(np.float32)
    match rope["rope_type"]:
        case "linear":
            return base / np.float32(rope["factor"]), 1.0
        case "llama3":
            return _llama3(rope, base), 1.0
        case "yarn":
            return _yarn(rope, base, head_dim)
        case "longrope":
            stretched = np.array(rope["long_factor" if long else "short_factor"], np.float32)
            return (base / stretched).astype(np.float32), _longrope_attention_factor(rope)
        case "proportional":
            n_rotated = int(rope["partial_rotary_factor"] * head_dim // 2)
            turned = np.arange(head_dim // 2) < n_rotated
            stretch = np.float32(rope.get("factor") or 1.0)
            return np.where(turned, base / stretch, 0).astype(np.float32), 1.0
    return base, 1.0


def _llama3(rope: dict[str, Any], base: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch long waves, keep short ones, and blend between (Llama 3.1)."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    original = rope["original_max_position_embeddings"]
    wavelength = 2 * math.pi / base
    stretched = base / rope["factor"]
    blend = (original / wavelength - low) / (high - low)
    blended = (1 - blend) * stretched + blend * base
    result = np.where(wavelength > original / low, stretched, np.where(wavelength < original / high, base, blended))
    return result.astype(np.float32)


def _yarn(rope: dict[str, Any], base: NDArray[np.float32], head_dim: int) -> tuple[NDArray[np.float32], float]:
    """Interpolate by frequency (Peng et al. 2023, https://arxiv.org/abs/2309.00071)."""
    factor, theta = rope["factor"], rope["rope_theta"]
    original = rope["original_max_position_embeddings"]

    def dimension(rotations: float) -> float:
        return head_dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(rope.get("beta_fast") or 32), dimension(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    ramp = np.clip((np.arange(head_dim // 2) - low) / ((high - low) or 0.001), 0, 1)
    frequencies = (base / factor * ramp + base * (1 - ramp)).astype(np.float32)
    return frequencies, _yarn_attention_factor(rope, factor)


def _longrope_attention_factor(rope: dict[str, Any]) -> float:
    """Return the factor of Ding et al. 2024, https://arxiv.org/abs/2402.13753."""
    given, stretch, original = rope.get("attention_factor"), rope["factor"], rope["original_max_position_embeddings"]
    if given is not None:
        return float(given)
    return 1.0 if stretch <= 1 else math.sqrt(1 + math.log(stretch) / math.log(original))


def _yarn_attention_factor(rope: dict[str, Any], factor: float) -> float:
    given = rope.get("attention_factor")
    if given is not None:
        return float(given)

    def scale(mscale: float) -> float:
        return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0

    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return scale(rope["mscale"]) / scale(rope["mscale_all_dim"])
    return scale(1.0)
