"""Rotary settings of a GGUF file as transformers' `rope_parameters`.

Defaults of absent keys are llama.cpp's. Formulas: transformers `modeling_rope_utils.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.fields import REMEDY, Fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DEFAULT_THETA = 10000.0
_LLAMA3_ORIGINAL_LENGTH = 8192
_LLAMA3_LOW, _LLAMA3_HIGH = 1.0, 4.0
_RELATIVE_TOLERANCE = 1e-5
"""Factors are FP32, and were computed from FP32 angles."""


def rope_parameters(fields: Fields, head_dim: int, *, rotary_dim: int | None = None) -> dict[str, Any]:
    """Return the settings of the layers that all rotate alike.

    Args:
        fields: Of the file.
        head_dim: Width of a head.
        rotary_dim: How much of it is rotated; None where the model always rotates all.

    Raises:
        ModelError: The file asks for a rotation that transformers lacks.
    """
    if rotary_dim is None:
        fields.require("rope.dimension_count", head_dim)
    theta = fields.number("rope.freq_base", _DEFAULT_THETA)
    parameters = {"rope_theta": theta} | _scaling(fields, rotary_dim or head_dim, theta)
    if rotary_dim is not None:
        parameters["partial_rotary_factor"] = _fraction(rotary_dim, head_dim)
    return parameters


def _scaling(fields: Fields, rotary_dim: int, theta: float) -> dict[str, Any]:
    fields.value("rope.scaling.finetuned")  # says how the model was trained, nothing that is computed
    # llama.cpp takes a factor without a type for a linear one.
    kind = fields.value("rope.scaling.type") or ("linear" if fields.has("rope.scaling.factor") else "none")
    original_length = fields.integer("rope.scaling.original_context_length", fields.integer("context_length"))
    fields.require("rope.scaling.yarn_log_multiplier", 0.0)
    freqs = fields.take_tensor("rope_freqs.weight")
    long_factors, short_factors = (fields.take_tensor(f"rope_factors_{name}.weight") for name in ("long", "short"))
    if long_factors is not None and short_factors is not None:
        if kind not in {"longrope", "none"}:
            raise fields.refused("rope.scaling.type", kind)
        return _longrope(fields, original_length, long_factors, short_factors)
    if kind == "none" and freqs is not None:
        return _llama3(fields, freqs, rotary_dim, theta)
    if freqs is not None and not (freqs == 1).all():
        raise ModelError(f"the tensor rope_freqs.weight beside {kind} scaling cannot be kept; {REMEDY}")
    match kind:
        case "none":
            fields.value("rope.scaling.factor")
            return {"rope_type": "default"}
        case "linear":
            factor = fields.number("rope.scaling.factor", 1.0)
            return {"rope_type": "default"} if factor in {0.0, 1.0} else {"rope_type": "linear", "factor": factor}
        case "yarn":
            return _yarn(fields, original_length)
    raise fields.refused("rope.scaling.type", kind)


def _yarn(fields: Fields, original_length: int) -> dict[str, Any]:
    fields.require("rope.scaling.yarn_ext_factor", 1.0)
    fields.require("rope.scaling.attn_factor", 1.0)
    parameters = {  # absent limits are 32 and 1 for llama.cpp and transformers alike
        "rope_type": "yarn",
        "factor": fields.number("rope.scaling.factor"),
        "original_max_position_embeddings": original_length,
        "attention_factor": fields.optional_number("rope.scaling.yarn_attn_factor"),
        "beta_fast": fields.optional_number("rope.scaling.yarn_beta_fast"),
        "beta_slow": fields.optional_number("rope.scaling.yarn_beta_slow"),
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _longrope(
    fields: Fields, original_length: int, long_factors: NDArray[np.float32], short_factors: NDArray[np.float32]
) -> dict[str, Any]:
    fields.require("rope.scaling.factor", 0.0, 1.0)
    return {
        "rope_type": "longrope",
        "long_factor": [float(str(factor)) for factor in long_factors],
        "short_factor": [float(str(factor)) for factor in short_factors],
        "original_max_position_embeddings": original_length,
        "attention_factor": fields.number("rope.scaling.attn_factor", 1.0),
    }


def _llama3(fields: Fields, freqs: NDArray[np.float32], rotary_dim: int, theta: float) -> dict[str, Any]:
    """Return the four numbers that a file's factors were computed from, by computing the factors again."""
    import numpy as np

    if (freqs == 1).all():
        return {"rope_type": "default"}
    factor = float(str(freqs.max()))
    lengths = fields.integer("rope.scaling.original_context_length", _LLAMA3_ORIGINAL_LENGTH)
    if freqs.shape != (rotary_dim // 2,) or not np.allclose(
        freqs, _llama3_factors(rotary_dim, theta, factor, lengths), rtol=_RELATIVE_TOLERANCE
    ):
        raise ModelError(f"the factors of the tensor rope_freqs.weight are not those of Llama 3.1 and later; {REMEDY}")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LLAMA3_LOW,
        "high_freq_factor": _LLAMA3_HIGH,
        "original_max_position_embeddings": lengths,
    }


def _llama3_factors(rotary_dim: int, theta: float, factor: float, original_length: int) -> NDArray[np.float64]:
    import numpy as np

    turns = original_length * theta ** -(np.arange(0, rotary_dim, 2) / rotary_dim) / (2 * math.pi)
    smooth = np.clip((turns - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW), 0, 1)
    factors: NDArray[np.float64] = 1 / ((1 - smooth) / factor + smooth)
    return factors


def _fraction(rotary_dim: int, head_dim: int) -> float:
    """Return the fraction of which transformers' `int(head_dim * fraction)` is `rotary_dim`."""
    fraction = rotary_dim / head_dim
    return fraction if int(head_dim * fraction) == rotary_dim else math.nextafter(fraction, 1)
