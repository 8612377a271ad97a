"""Architectures of their own kind: experts with biases and sinks, short convolutions, state spaces."""

from __future__ import annotations

from typing import Any

from tuibench.models.origin.gguf.architecture import (
    ATTENTION,
    BLOCK,
    Architecture,
    decoder_tensors,
    rms_decoder,
    sizes,
    tokens,
)
from tuibench.models.origin.gguf.changes import inputs_first, interleaved, log_of_negative, with_one_channel
from tuibench.models.origin.gguf.fields import Fields
from tuibench.models.origin.gguf.rope import rope_parameters


def _gpt_oss(fields: Fields) -> dict[str, Any]:
    config = rms_decoder(fields)
    n_layers = config["num_hidden_layers"]
    if config["rope_parameters"]["rope_type"] == "yarn":
        config["rope_parameters"]["truncate"] = False  # so in all of them; there is no key for it
    return config | {
        "model_type": "gpt_oss",
        "intermediate_size": fields.integer("expert_feed_forward_length"),
        "num_local_experts": fields.integer("expert_count"),
        "num_experts_per_tok": fields.integer("expert_used_count"),
        "sliding_window": fields.integer("attention.sliding_window"),
        "layer_types": ["full_attention" if layer % 2 else "sliding_attention" for layer in range(n_layers)],
        "attention_bias": True,
    }


def _lfm2(fields: Fields) -> dict[str, Any]:
    n_heads = fields.integer("attention.head_count")
    n_keys = fields.value("attention.head_count_kv")
    if not isinstance(n_keys, tuple) or len(set(n_keys) - {0}) != 1:
        raise fields.refused("attention.head_count_kv", n_keys)
    width = fields.integer("embedding_length") // max(n_heads, 1)
    fields.require("attention.key_length", width)
    fields.require("attention.value_length", width)
    return sizes(fields, n_keys=int(max(n_keys))) | {
        "model_type": "lfm2",
        "block_auto_adjust_ff_dim": False,
        "layer_types": ["full_attention" if n else "conv" for n in n_keys],
        "norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "conv_L_cache": fields.integer("shortconv.l_cache"),
        "conv_bias": any(name.endswith("shortconv.in_proj.bias") for name in fields.tensors),
        "rope_parameters": rope_parameters(fields, width),
    }


def _mamba(fields: Fields) -> dict[str, Any]:
    for key in ("attention.head_count", "attention.head_count_kv", "feed_forward_length"):
        fields.require(key, 0)
    width, inner = fields.integer("embedding_length"), fields.integer("ssm.inner_size")
    if inner % max(width, 1):
        raise fields.refused("ssm.inner_size", inner)
    fields.require("ssm.dt_b_c_rms", False)
    fields.integer("context_length")  # a Mamba has no limit; the converter writes a large number
    return {
        "model_type": "mamba",
        "vocab_size": fields.vocabulary_size,
        "hidden_size": width,
        "expand": inner // width,
        "num_hidden_layers": fields.n_layers,
        "conv_kernel": fields.integer("ssm.conv_kernel"),
        "state_size": fields.integer("ssm.state_size"),
        "time_step_rank": fields.integer("ssm.time_step_rank"),
        "layer_norm_epsilon": fields.number("attention.layer_norm_rms_epsilon"),
        "use_conv_bias": "blk.0.ssm_conv1d.bias" in fields.tensors,
        "use_bias": False,
    } | tokens(fields)


_GPT_OSS_LAYER = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "attn_sinks.weight": "self_attn.sinks",
    "ffn_gate_inp": "mlp.router",
    "ffn_gate_exps.weight": "mlp.experts.gate_up_proj",
    "ffn_up_exps.weight": "mlp.experts.gate_up_proj",
    "ffn_gate_exps.bias": "mlp.experts.gate_up_proj_bias",
    "ffn_up_exps.bias": "mlp.experts.gate_up_proj_bias",
    "ffn_down_exps.weight": "mlp.experts.down_proj",
    "ffn_down_exps.bias": "mlp.experts.down_proj_bias",
}
_LFM2_LAYER = {
    "attn_norm": "operator_norm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.out_proj",
    "attn_q_norm": "self_attn.q_layernorm",
    "attn_k_norm": "self_attn.k_layernorm",
    "shortconv.in_proj": "conv.in_proj",
    "shortconv.conv": "conv.conv",
    "shortconv.out_proj": "conv.out_proj",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_up": "feed_forward.w3",
    "ffn_down": "feed_forward.w2",
}
_MAMBA_LAYER = {
    "attn_norm": "norm",
    "ssm_in": "mixer.in_proj",
    "ssm_conv1d": "mixer.conv1d",
    "ssm_x": "mixer.x_proj",
    "ssm_dt": "mixer.dt_proj",
    "ssm_a": "mixer.A_log",
    "ssm_d": "mixer.D",
    "ssm_out": "mixer.out_proj",
}
_MAMBA_OUTER = {"token_embd": "backbone.embeddings", "output_norm": "backbone.norm_f", "output": "lm_head"}

OTHERS = {
    "gpt-oss": Architecture(
        _gpt_oss,
        decoder_tensors(ATTENTION | _GPT_OSS_LAYER),
        dict.fromkeys(("ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"), inputs_first),
        interleaved,
    ),
    "lfm2": Architecture(
        _lfm2,
        decoder_tensors(_LFM2_LAYER) | {"token_embd_norm": "model.embedding_norm"},
        {"shortconv.conv": with_one_channel},
    ),
    "mamba": Architecture(
        _mamba,
        _MAMBA_OUTER | {BLOCK + stored: f"backbone.layers.{{}}.{target}" for stored, target in _MAMBA_LAYER.items()},
        {"ssm_conv1d.weight": with_one_channel, "ssm_a": log_of_negative},
    ),
}
