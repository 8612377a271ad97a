"""What single model types need besides the common sizes, and the types that a folder cannot be made of."""

from __future__ import annotations

from typing import Any

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_GEMMA3N_TEXT = {
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "intermediate_size": [96] * 4,
    "activation_sparsity_pattern": [0.95, 0.0, 0.95, 0.0],
    "laurel_rank": 8,
}
_GEMMA4_TEXT = {
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
_NO_PER_LAYER_INPUT = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0}
_QWEN4 = {
    "indexer_n_heads": 16,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
    "hc_lowrank": 16,
    "ple_embed_dim": 64,
    "ngram_vocab_size_base": 512,
    "split_ngram_parts": 4,
}

CHANGES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "blt": {
        "encoder_hash_byte_group_vocab": 512,
        "local_attention_window_len": 16,
        "encoder_config": {"hidden_size_global": 64},
        "decoder_config": {"hidden_size_global": 64},
    },
    "cohere_compass_text": {"rope_parameters": dict.fromkeys(("full_attention", "sliding_attention"), _ROPE)},
    "dbrx": {
        "attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 96},
    },
    "deepseek_v2": {"n_routed_experts": 8, "num_experts_per_tok": 2},
    "deepseek_v4": {
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 16},
        "o_groups": 2,
    },
    # In its first layer equal tokens have equal scores: which of them stay in a full window is chance.
    "doge": {"keep_window_size": 256},
    "dory": {
        "num_hidden_layers": 8,
        "layer_types": ["sliding_attention", "mlp", "full_attention", "mlp"] * 2,
        "n_input_layers": 2,
        "n_recurrent_layers": 4,
        "n_output_layers": 2,
    },
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "dots3_note": {
        "text_config": {"num_key_value_heads": 4},
        "vision_config": {"adapter_in_dim": 64, "adapter_out_dim": 64},
        "audio_config": {"adapter_input_size": 64, "adapter_out_dim": 64},
    },
    "dots3_note_text": {"num_key_value_heads": 4},
    "falcon_h1": {"mamba_d_ssm": 128},
    "gemma3n_text": _GEMMA3N_TEXT,
    "gemma4_text": _GEMMA4_TEXT,
    "gemma4": {"text_config": _GEMMA4_TEXT},
    "gemma4_assistant": {
        "default": {"text_config": {"model_type": "gemma4_text", **_NO_PER_LAYER_INPUT}},
        "backbone_hidden_size": 64,
        "text_config": {"num_kv_shared_layers": 2, **_NO_PER_LAYER_INPUT},
    },
    "gemma4_unified_assistant": {"backbone_hidden_size": 64, "text_config": {"num_kv_shared_layers": 2}},
    "gemma4_unified_text": _GEMMA4_TEXT,
    "gemma4_unified": {"text_config": _GEMMA4_TEXT},
    "flint": {"mlp_only_layers": [0]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"], "shared_intermediate_size": 32},
    "hrm_text": {"num_layers_per_stack": 2, "num_hidden_layers": 16},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2, "full_attn_idxs": [1, 3]},
    "lfm2_moe": {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "n_groups": 2},
    "ministral": {"head_dim": 16},
    # transformers masks nothing by this window, and its cache forgets: it ships as long as the longest text.
    "moshi": {"sliding_window": 256},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp": {"text_config": _QWEN4},
    "qwen4_exp_text": _QWEN4,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "is_decoder": True,
        "num_hidden_layers": 2,
        "attn_layers": ["local", "lsh"],
        "hash_seed": 0,
        "num_buckets": 4,
        "local_attn_chunk_length": 16,
        "lsh_attn_chunk_length": 16,
        "axial_pos_shape": [16, 16],
        "axial_pos_embds_dim": [32, 32],
    },
    "roc_bert": {"pronunciation_embed_dim": 16, "shape_embed_dim": 16, "shape_vocab_size": 64},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 6,
        "layers_block_type": ["linear_attention", "linear_attention", "hybrid"] * 2,
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "num_key_value_heads": 4,
    },
    "zamba2": {
        "num_hidden_layers": 6,
        "layers_block_type": ["linear_attention", "linear_attention", "hybrid"] * 2,
        "hybrid_layer_ids": [2, 5],
        "attention_hidden_size": 128,
        "attention_head_dim": 32,
        "num_key_value_heads": 4,
        "num_query_groups": 4,
        "mamba_headdim": 16,
        "adapter_rank": 8,
    },
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
}
"""Type → entries of its `config.json`; `default` holds what its default configuration cannot be made without."""

_LONG = [1.0, 1.3, 2.0, 3.0, 4.5, 6.0, 8.0, 9.0]
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert (is_decoder)": ("bert", {"is_decoder": True}),
    "llama (dynamic rope)": (
        "llama",
        {
            "max_position_embeddings": 64,
            "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
        },
    ),
    "llama (yarn rope)": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "phi3 (longrope)": (
        "phi3",
        {
            "original_max_position_embeddings": 48,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * 8,
                "long_factor": _LONG,
                "original_max_position_embeddings": 48,
            },
        },
    ),
    "gpt2 (heads of 8)": ("gpt2", {"n_head": 8}),
    "llama (heads of 8)": ("llama", {"num_attention_heads": 8, "head_dim": 8}),
    "gemma4_text (experts)": (
        "gemma4_text",
        {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 32},
    ),
    "qwen2 (sliding window)": (
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": 16,
            "max_window_layers": 1,
            "layer_types": ["full_attention", "sliding_attention"],
        },
    ),
    "mistral (a key for each head)": ("mistral", {"num_key_value_heads": 4}),
}
"""Settings beside the types' defaults that an engine can get wrong: name → type, changes."""

_DECODER_ONLY_CONFIG = "its causal LM takes the configuration of the decoder alone, a type that no auto class maps"
NOT_BUILT: dict[str, str] = {
    "gemma3n": "its vision tower needs the library timm; the language model is gemma3n_text",
    "musicgen": _DECODER_ONLY_CONFIG,
    "musicgen_melody": _DECODER_ONLY_CONFIG,
}
"""Types that no folder can be made of, and why."""
