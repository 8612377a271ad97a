"""Llama and the architectures that came of it: RMS norms, gated feed-forward, rotated heads."""

from __future__ import annotations

from typing import Any

from tuibench.models.origin.gguf.architecture import (
    ATTENTION,
    EXPERTS,
    GATED,
    NORMS_BEFORE,
    QUERY_KEY_NORMS,
    UNGATED,
    Architecture,
    decoder_tensors,
    has_bias,
    head_dim,
    rms_decoder,
    sizes,
)
from tuibench.models.origin.gguf.changes import half_rotated_keys, half_rotated_queries
from tuibench.models.origin.gguf.fields import Fields
from tuibench.models.origin.gguf.rope import rope_parameters

_NEIGHBOURS = {"attn_q": half_rotated_queries, "attn_k": half_rotated_keys}
_SMOLLM3_UNROTATED_EVERY = 4
_PHI3_LAYER = {
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_up": "mlp.gate_up_proj",
    "ffn_down": "mlp.down_proj",
}


def _biases(fields: Fields) -> dict[str, Any]:
    return {"attention_bias": has_bias(fields, "attn_q"), "mlp_bias": has_bias(fields, "ffn_up")}


def _llama(fields: Fields) -> dict[str, Any]:
    if fields.integer("expert_count", 0) == 0:
        fields.require("expert_used_count", 0)
        return {"model_type": "llama"} | rms_decoder(fields) | _biases(fields)
    return {
        "model_type": "mixtral",
        "num_local_experts": fields.integer("expert_count"),
        "num_experts_per_tok": fields.integer("expert_used_count"),
        "sliding_window": None,
    } | rms_decoder(fields)


def _granite(fields: Fields) -> dict[str, Any]:
    fields.require("rope.scaling.finetuned", True)  # llama.cpp leaves the rotation out where it is false
    width = head_dim(fields)
    config = {
        "model_type": "granite",
        "embedding_multiplier": fields.number("embedding_scale", 1.0),
        "residual_multiplier": fields.number("residual_scale", 1.0),
        "attention_multiplier": fields.number("attention.scale", width**-0.5),
        "logits_scaling": fields.number("logit_scale", 1.0),
    }
    return config | rms_decoder(fields) | _biases(fields)


def _arcee(fields: Fields) -> dict[str, Any]:
    return {"model_type": "arcee"} | rms_decoder(fields) | _biases(fields)


def _smollm3(fields: Fields) -> dict[str, Any]:
    config = {"model_type": "smollm3"} | rms_decoder(fields) | _biases(fields)
    # No key says it; llama.cpp has the number in its code.
    layers = range(1, config["num_hidden_layers"] + 1)
    return config | {"no_rope_layers": [int(layer % _SMOLLM3_UNROTATED_EVERY != 0) for layer in layers]}


def _qwen2(fields: Fields) -> dict[str, Any]:
    return {"model_type": "qwen2"} | rms_decoder(fields)


def _qwen3(fields: Fields) -> dict[str, Any]:
    return {"model_type": "qwen3", "attention_bias": has_bias(fields, "attn_q")} | rms_decoder(fields)


def _experts(fields: Fields) -> dict[str, Any]:
    n_used = fields.integer("expert_used_count")
    return {
        "num_experts": fields.integer("expert_count"),
        "num_experts_per_tok": n_used,
        "moe_intermediate_size": fields.integer(
            "expert_feed_forward_length", fields.integer("feed_forward_length") // max(n_used, 1)
        ),
    }


def _qwen2_moe(fields: Fields) -> dict[str, Any]:
    shared = fields.integer("expert_shared_feed_forward_length", fields.integer("feed_forward_length"))
    config = {"model_type": "qwen2_moe", "shared_expert_intermediate_size": shared, "norm_topk_prob": False}
    return config | rms_decoder(fields) | _experts(fields)


def _qwen3_moe(fields: Fields) -> dict[str, Any]:
    config = {"model_type": "qwen3_moe", "norm_topk_prob": True, "attention_bias": has_bias(fields, "attn_q")}
    return config | rms_decoder(fields) | _experts(fields)


def _olmo2(fields: Fields) -> dict[str, Any]:
    return {"model_type": "olmo2", "attention_bias": has_bias(fields, "attn_q")} | rms_decoder(fields)


def _phi3(fields: Fields) -> dict[str, Any]:
    width = head_dim(fields)
    rope = rope_parameters(fields, width, rotary_dim=fields.integer("rope.dimension_count", width))
    original_length = fields.integer("rope.scaling.original_context_length", fields.integer("context_length"))
    return {
        "model_type": "phi3",
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "sliding_window": fields.integer("attention.sliding_window", 0) or None,
        "original_max_position_embeddings": original_length,
        "rope_parameters": rope,
    } | sizes(fields)


_SHARED_EXPERT = {
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}
_NORMS_AFTER = {"post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}

LLAMAS = {
    "llama": Architecture(_llama, decoder_tensors(NORMS_BEFORE | ATTENTION | GATED | EXPERTS), _NEIGHBOURS),
    "granite": Architecture(_granite, decoder_tensors(NORMS_BEFORE | ATTENTION | GATED), _NEIGHBOURS),
    "arcee": Architecture(_arcee, decoder_tensors(NORMS_BEFORE | ATTENTION | UNGATED), _NEIGHBOURS),
    "smollm3": Architecture(_smollm3, decoder_tensors(NORMS_BEFORE | ATTENTION | GATED), _NEIGHBOURS),
    "qwen2": Architecture(_qwen2, decoder_tensors(NORMS_BEFORE | ATTENTION | GATED)),
    "qwen3": Architecture(_qwen3, decoder_tensors(NORMS_BEFORE | ATTENTION | QUERY_KEY_NORMS | GATED)),
    "qwen2moe": Architecture(
        _qwen2_moe, decoder_tensors(NORMS_BEFORE | ATTENTION | EXPERTS | _SHARED_EXPERT),
        {"ffn_gate_inp_shexp": lambda weights, config: weights.reshape(1, config["hidden_size"])},
    ),
    "qwen3moe": Architecture(_qwen3_moe, decoder_tensors(NORMS_BEFORE | ATTENTION | QUERY_KEY_NORMS | EXPERTS)),
    "olmo2": Architecture(_olmo2, decoder_tensors(_NORMS_AFTER | ATTENTION | QUERY_KEY_NORMS | GATED)),
    "phi3": Architecture(_phi3, decoder_tensors(NORMS_BEFORE | _PHI3_LAYER)),
}  # fmt: skip
