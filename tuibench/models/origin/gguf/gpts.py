"""GPT-2 and the architectures with its layer norms: with positions learnt, rotated or by distance (ALiBi)."""

from __future__ import annotations

from typing import Any

from tuibench.models.origin.gguf.architecture import (
    ATTENTION,
    BLOCK,
    GATED,
    NORMS_BEFORE,
    QUERY_KEY_NORMS,
    UNGATED,
    Architecture,
    decoder_tensors,
    has_bias,
    head_dim,
    sizes,
    tokens,
)
from tuibench.models.origin.gguf.changes import grouped_by_key, minus_one, transposed
from tuibench.models.origin.gguf.fields import Fields
from tuibench.models.origin.gguf.rope import rope_parameters

_NORM_EPSILON = "attention.layer_norm_epsilon"


def _gpt2(fields: Fields) -> dict[str, Any]:
    n_heads = fields.integer("attention.head_count")
    fields.require("attention.head_count_kv", n_heads)
    return {
        "model_type": "gpt2",
        "vocab_size": fields.vocabulary_size,
        "n_embd": fields.integer("embedding_length"),
        "n_inner": fields.integer("feed_forward_length"),
        "n_layer": fields.n_layers,
        "n_head": n_heads,
        "n_positions": fields.integer("context_length"),
        "layer_norm_epsilon": fields.number(_NORM_EPSILON),
    } | tokens(fields)


def _bloom(fields: Fields) -> dict[str, Any]:
    n_heads = fields.integer("attention.head_count")
    width = fields.integer("embedding_length")
    fields.require("attention.head_count_kv", n_heads)
    fields.require("feed_forward_length", 4 * width)
    return {
        "model_type": "bloom",
        "vocab_size": fields.vocabulary_size,
        "hidden_size": width,
        "n_layer": fields.n_layers,
        "n_head": n_heads,
        "seq_length": fields.integer("context_length"),
        "layer_norm_epsilon": fields.number(_NORM_EPSILON),
    } | tokens(fields)


def _falcon(fields: Fields) -> dict[str, Any]:
    fields.require("tensor_data_layout", "jploski")
    n_heads = fields.integer("attention.head_count")
    n_keys = fields.integer("attention.head_count_kv", n_heads)
    has_two_norms = has_second_norm(fields)
    return {
        "model_type": "falcon",
        "vocab_size": fields.vocabulary_size,
        "hidden_size": fields.integer("embedding_length"),
        "ffn_hidden_size": fields.integer("feed_forward_length"),
        "num_hidden_layers": fields.n_layers,
        "num_attention_heads": n_heads,
        "num_kv_heads": n_keys,
        "multi_query": n_keys == 1,
        "new_decoder_architecture": has_two_norms or 1 < n_keys < n_heads,
        "num_ln_in_parallel_attn": 2 if has_two_norms else 1,
        "parallel_attn": True,
        "bias": False,
        "alibi": False,
        "max_position_embeddings": fields.integer("context_length"),
        "layer_norm_epsilon": fields.number(_NORM_EPSILON),
        "rope_parameters": rope_parameters(fields, head_dim(fields)),
    } | tokens(fields)


def has_second_norm(fields: Fields) -> bool:
    """Tell whether attention and feed-forward have a norm each, as in Falcon 40B."""
    return "blk.0.attn_norm_2.weight" in fields.tensors


def _partly_rotated(fields: Fields) -> dict[str, Any]:
    width = head_dim(fields)
    return rope_parameters(fields, width, rotary_dim=fields.integer("rope.dimension_count", width))


def _gptneox(fields: Fields) -> dict[str, Any]:
    return {
        "model_type": "gpt_neox",
        "use_parallel_residual": fields.flag("use_parallel_residual"),
        "layer_norm_eps": fields.number(_NORM_EPSILON),
        "rope_parameters": _partly_rotated(fields),
        "attention_bias": has_bias(fields, "attn_qkv"),
    } | sizes(fields)


def _stablelm(fields: Fields) -> dict[str, Any]:
    return {
        "model_type": "stablelm",
        "use_parallel_residual": fields.flag("use_parallel_residual"),
        "use_qkv_bias": has_bias(fields, "attn_q"),
        "layer_norm_eps": fields.number(_NORM_EPSILON),
        "rope_parameters": _partly_rotated(fields),
    } | sizes(fields)


def _starcoder2(fields: Fields) -> dict[str, Any]:
    return {
        "model_type": "starcoder2",
        "use_bias": has_bias(fields, "attn_q"),
        "norm_epsilon": fields.number(_NORM_EPSILON),
        "rope_parameters": rope_parameters(fields, head_dim(fields)),
    } | sizes(fields)


def _nemotron(fields: Fields) -> dict[str, Any]:
    fields.value("attention.layer_norm_rms_epsilon")  # llama.cpp's converter writes both; the norms are layer norms
    return {
        "model_type": "nemotron",
        "head_dim": head_dim(fields),
        "norm_eps": fields.number(_NORM_EPSILON),
        "attention_bias": has_bias(fields, "attn_q"),
        "mlp_bias": has_bias(fields, "ffn_up"),
        "rope_parameters": _partly_rotated(fields),
    } | sizes(fields)


def _command_r(fields: Fields) -> dict[str, Any]:
    return {
        "model_type": "cohere",
        "logit_scale": fields.number("logit_scale", 1.0),
        "layer_norm_eps": fields.number(_NORM_EPSILON),
        "use_qk_norm": "blk.0.attn_q_norm.weight" in fields.tensors,
        "attention_bias": has_bias(fields, "attn_q"),
        "rope_parameters": rope_parameters(fields, head_dim(fields)),
    } | sizes(fields)


def _layers(layer: dict[str, str], outer: dict[str, str], prefix: str) -> dict[str, str]:
    return outer | {BLOCK + stored: f"{prefix}.{{}}.{target}" for stored, target in layer.items()}


_GPT2_LAYER = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
_GPT2_OUTER = {
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}
_BLOOM_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attention.query_key_value",
    "attn_output": "self_attention.dense",
    "ffn_norm": "post_attention_layernorm",
    "ffn_up": "mlp.dense_h_to_4h",
    "ffn_down": "mlp.dense_4h_to_h",
}
_WORD_EMBEDDINGS = {
    "token_embd": "transformer.word_embeddings",
    "token_embd_norm": "transformer.word_embeddings_layernorm",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
}
_NEOX_OUTER = {"token_embd": "gpt_neox.embed_in", "output_norm": "gpt_neox.final_layer_norm", "output": "lm_head"}
_FALCON_OUTER = {name: target for name, target in _WORD_EMBEDDINGS.items() if name != "token_embd_norm"}
_FALCON_LAYER = {name: target for name, target in _BLOOM_LAYER.items() if not name.endswith("_norm")}
_NEOX_LAYER = _BLOOM_LAYER | {"attn_qkv": "attention.query_key_value", "attn_output": "attention.dense"}

GPTS = {
    "gpt2": Architecture(
        _gpt2,
        _layers(_GPT2_LAYER, _GPT2_OUTER, "transformer.h"),
        dict.fromkeys(("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"), transposed),
    ),
    "bloom": Architecture(
        _bloom, _layers(_BLOOM_LAYER, _WORD_EMBEDDINGS, "transformer.h"), {"attn_qkv": grouped_by_key}
    ),
    "falcon": Architecture(
        _falcon,
        _layers(_FALCON_LAYER | {"attn_norm": "input_layernorm"}, _FALCON_OUTER, "transformer.h"),
        {"attn_qkv": grouped_by_key},
    ),
    "gptneox": Architecture(
        _gptneox, _layers(_NEOX_LAYER, _NEOX_OUTER, "gpt_neox.layers"), {"attn_qkv": grouped_by_key}
    ),
    "stablelm": Architecture(_stablelm, decoder_tensors(NORMS_BEFORE | ATTENTION | GATED)),
    "starcoder2": Architecture(
        _starcoder2,
        decoder_tensors(NORMS_BEFORE | ATTENTION | {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}),
    ),
    "nemotron": Architecture(
        _nemotron,
        decoder_tensors(NORMS_BEFORE | ATTENTION | UNGATED),
        dict.fromkeys(("output_norm.weight", "attn_norm.weight", "ffn_norm.weight"), minus_one),
    ),
    "command-r": Architecture(
        _command_r, decoder_tensors({"attn_norm": "input_layernorm"} | ATTENTION | QUERY_KEY_NORMS | GATED)
    ),
}
FALCON_WITH_TWO_NORMS = Architecture(
    _falcon,
    _layers(_FALCON_LAYER | {"attn_norm": "ln_mlp", "attn_norm_2": "ln_attn"}, _FALCON_OUTER, "transformer.h"),
    {"attn_qkv": grouped_by_key},
)
