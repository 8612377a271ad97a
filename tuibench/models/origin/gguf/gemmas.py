"""Gemma, Gemma 2 and Gemma 3."""

from __future__ import annotations

from typing import Any

from tuibench.models.origin.gguf.architecture import (
    ATTENTION,
    GATED,
    NORMS_AROUND,
    NORMS_BEFORE,
    QUERY_KEY_NORMS,
    Architecture,
    decoder_tensors,
    rms_decoder,
)
from tuibench.models.origin.gguf.changes import minus_one
from tuibench.models.origin.gguf.fields import Fields

_LAYERS_OF_27B = {"gemma2": 46, "gemma3": 62}
_WINDOWED_EVERY = {"gemma2": 2, "gemma3": 6}
_LOCAL_THETA = 10000.0
_GEMMA2_ATTENTION_CAP, _GEMMA2_LOGIT_CAP = 50.0, 30.0


def _gemma(fields: Fields) -> dict[str, Any]:
    return {"model_type": "gemma"} | rms_decoder(fields)


def _gemma2(fields: Fields) -> dict[str, Any]:
    return {
        "model_type": "gemma2",
        "attn_logit_softcapping": fields.number("attn_logit_softcapping", _GEMMA2_ATTENTION_CAP) or None,
        "final_logit_softcapping": fields.number("final_logit_softcapping", _GEMMA2_LOGIT_CAP) or None,
    } | _windowed(fields)


def _gemma3(fields: Fields) -> dict[str, Any]:
    fields.require("attn_logit_softcapping", 0.0)
    local = {"rope_type": "default", "rope_theta": fields.number("rope.freq_base_swa", _LOCAL_THETA)}
    config = _windowed(fields)
    return config | {
        "model_type": "gemma3_text",
        "final_logit_softcapping": fields.number("final_logit_softcapping", 0.0) or None,
        "rope_parameters": {"full_attention": config["rope_parameters"], "sliding_attention": local},
    }


def _windowed(fields: Fields) -> dict[str, Any]:
    config = rms_decoder(fields)
    n_layers = config["num_hidden_layers"]
    window = fields.integer("attention.sliding_window", 0) or None
    every = fields.integer("attention.sliding_window_pattern", _WINDOWED_EVERY[fields.architecture])
    if every == 0:
        raise fields.refused("attention.sliding_window_pattern", every)
    return config | {
        "query_pre_attn_scalar": _query_scale(fields, config),
        "sliding_window": window,
        "layer_types": [
            "sliding_attention" if window and (layer + 1) % every else "full_attention" for layer in range(n_layers)
        ],
    }


def _query_scale(fields: Fields, config: dict[str, Any]) -> int:
    """Return the number whose root divides the scores: no key says it, llama.cpp goes by the size of the model."""
    if config["num_hidden_layers"] == _LAYERS_OF_27B[fields.architecture]:
        return int(config["hidden_size"] // config["num_attention_heads"])
    return int(config["head_dim"])


_SHIFTED = dict.fromkeys(("output_norm", *NORMS_AROUND, *QUERY_KEY_NORMS), minus_one)

GEMMAS = {
    "gemma": Architecture(_gemma, decoder_tensors(NORMS_BEFORE | ATTENTION | GATED), _SHIFTED),
    "gemma2": Architecture(_gemma2, decoder_tensors(NORMS_AROUND | ATTENTION | GATED), _SHIFTED),
    "gemma3": Architecture(_gemma3, decoder_tensors(NORMS_AROUND | ATTENTION | QUERY_KEY_NORMS | GATED), _SHIFTED),
}
