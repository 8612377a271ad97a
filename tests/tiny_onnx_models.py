"""Tiny models with what the ONNX graphs have to tell apart: grouped heads, biases, norms per head, own heads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.tiny_models import CHAT_TEMPLATE, _save, save_gpt2, save_llama

_BASE = {
    "vocab_size": 384,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 2,
}


def _save_llama_like(directory: Path, model_type: str, **options) -> Path:
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    config = CONFIG_MAPPING[model_type](**{**_BASE, **options})
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return _save(directory, model_class, config, "<|im_end|>", CHAT_TEMPLATE, vectors=0.1)


def _save_gpt2_like(directory: Path, **options) -> Path:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": 384, "n_positions": 256, "bos_token_id": 0, "eos_token_id": 0}
    return _save(directory, GPT2LMHeadModel, GPT2Config(**{**sizes, **options}), "<|endoftext|>", None, vectors=0.1)


MAKERS = {
    "gpt2": save_gpt2,
    "gpt2-by-layer": partial(
        _save_gpt2_like,
        n_embd=72,
        n_layer=3,
        n_head=3,
        n_inner=100,
        scale_attn_by_inverse_layer_idx=True,
        tie_word_embeddings=False,
    ),
    "llama": save_llama,
    "llama-untied-biased": partial(
        _save_llama_like, model_type="llama", tie_word_embeddings=False, attention_bias=True, mlp_bias=True
    ),
    "llama3-rope": partial(
        _save_llama_like,
        model_type="llama",
        max_position_embeddings=256,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "yarn-rope": partial(
        _save_llama_like,
        model_type="llama",
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "arcee": partial(_save_llama_like, model_type="arcee", attention_bias=True, mlp_bias=True),
    "ernie": partial(_save_llama_like, model_type="ernie4_5", head_dim=32, use_bias=True),
    "exaone4-two-windows": partial(_save_llama_like, model_type="exaone4", sliding_window=12, sliding_window_pattern=2),
    "gemma": partial(_save_llama_like, model_type="gemma", head_dim=32, attention_bias=True),
    "gemma2-caps": partial(
        _save_llama_like,
        model_type="gemma2",
        head_dim=32,
        sliding_window=12,
        query_pre_attn_scalar=24,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        attention_bias=True,
    ),
    "gemma3-two-rotations": partial(
        _save_llama_like,
        model_type="gemma3_text",
        head_dim=32,
        sliding_window=12,
        query_pre_attn_scalar=24,
        final_logit_softcapping=3.0,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "gemma4-told-again": partial(
        _save_llama_like,
        model_type="gemma4_text",
        num_hidden_layers=4,
        head_dim=16,
        global_head_dim=32,
        num_kv_shared_layers=2,
        use_double_wide_mlp=True,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention"] * 2,
        vocab_size_per_layer_input=384,
        hidden_size_per_layer_input=16,
        final_logit_softcapping=3.0,
        pad_token_id=None,
    ),
    "gemma4-keys-as-values": partial(
        _save_llama_like,
        model_type="gemma4_text",
        head_dim=32,
        global_head_dim=48,
        num_global_key_value_heads=1,
        attention_k_eq_v=True,
        attention_bias=True,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention", "full_attention"],
        hidden_size_per_layer_input=0,
        pad_token_id=None,
    ),
    "granite": partial(
        _save_llama_like,
        model_type="granite",
        rms_norm_eps=0.01,
        tie_word_embeddings=True,
        attention_bias=True,
        mlp_bias=True,
        embedding_multiplier=12.0,
        residual_multiplier=0.22,
        attention_multiplier=0.125,
        logits_scaling=5.0,
    ),
    "hunyuan": partial(
        _save_llama_like,
        model_type="hunyuan_v1_dense",
        head_dim=32,
        attention_bias=True,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 1.0, "alpha": 100.0},
    ),
    "lfm2-convolutions": partial(
        _save_llama_like,
        model_type="lfm2",
        num_hidden_layers=4,
        layer_types=["conv", "full_attention", "conv", "conv"],
        block_multiple_of=32,
        conv_L_cache=4,
        conv_bias=True,
    ),
    "mistral-window": partial(_save_llama_like, model_type="mistral", sliding_window=12, tie_word_embeddings=False),
    "ministral-two-windows": partial(
        _save_llama_like,
        model_type="ministral",
        head_dim=32,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "seed-oss": partial(
        _save_llama_like,
        model_type="seed_oss",
        head_dim=32,
        attention_out_bias=True,
        mlp_bias=True,
        tie_word_embeddings=True,
    ),
    "olmo2": partial(_save_llama_like, model_type="olmo2", pad_token_id=None, attention_bias=True),
    "olmo3-two-rotations": partial(
        _save_llama_like,
        model_type="olmo3",
        pad_token_id=None,
        attention_bias=True,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
        },
    ),
    "phi3-longrope": partial(
        _save_llama_like,
        model_type="phi3",
        pad_token_id=None,
        tie_word_embeddings=True,
        original_max_position_embeddings=24,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.75,
            "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
            "long_factor": [1.0, 2.0, 4.0, 6.0, 9.0, 12.0],
        },
    ),
    "phi3-partly-rotated": partial(
        _save_llama_like,
        model_type="phi3",
        sliding_window=12,
        pad_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
    ),
    "smollm3-two-windows": partial(
        _save_llama_like,
        model_type="smollm3",
        no_rope_layers=[1, 0, 1],
        use_sliding_window=True,
        sliding_window=12,
        attention_bias=True,
        pad_token_id=None,
    ),
    "stablelm": partial(_save_llama_like, model_type="stablelm", use_qkv_bias=True),
    "starcoder2-window": partial(
        _save_llama_like, model_type="starcoder2", sliding_window=12, tie_word_embeddings=True
    ),
    "qwen2": partial(_save_llama_like, model_type="qwen2", tie_word_embeddings=True),
    "qwen2-two-windows": partial(
        _save_llama_like,
        model_type="qwen2",
        head_dim=32,
        num_key_value_heads=1,
        use_sliding_window=True,
        sliding_window=12,
        max_window_layers=1,
    ),
    "gpt-oss": partial(
        _save_llama_like,
        model_type="gpt_oss",
        head_dim=32,
        sliding_window=12,
        num_local_experts=4,
        num_experts_per_tok=2,
        swiglu_limit=0.5,
    ),
    "granite-moe": partial(
        _save_llama_like,
        model_type="granitemoe",
        rms_norm_eps=0.01,
        num_local_experts=4,
        num_experts_per_tok=2,
        attention_bias=True,
        embedding_multiplier=12.0,
        residual_multiplier=0.22,
        attention_multiplier=0.125,
        logits_scaling=5.0,
    ),
    "mixtral-window": partial(
        _save_llama_like, model_type="mixtral", sliding_window=12, num_local_experts=4, num_experts_per_tok=2
    ),
    "olmoe": partial(
        _save_llama_like,
        model_type="olmoe",
        pad_token_id=None,
        num_experts=8,
        num_experts_per_tok=3,
        attention_bias=True,
    ),
    "qwen3-moe": partial(
        _save_llama_like,
        model_type="qwen3_moe",
        head_dim=32,
        num_experts=8,
        num_experts_per_tok=3,
        moe_intermediate_size=48,
    ),
    "cohere2-two-windows": partial(
        _save_llama_like,
        model_type="cohere2",
        attention_bias=True,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        pad_token_id=None,
    ),
    "falcon": partial(_save_llama_like, model_type="falcon", bias=True),
    "falcon-in-turn": partial(_save_llama_like, model_type="falcon", parallel_attn=False, multi_query=False),
    "falcon-two-norms": partial(_save_llama_like, model_type="falcon", new_decoder_architecture=True, num_kv_heads=2),
    "gpt-neox": partial(_save_llama_like, model_type="gpt_neox"),
    "gpt-neox-in-turn": partial(_save_llama_like, model_type="gpt_neox", use_parallel_residual=False),
    "gptj": partial(_save_llama_like, model_type="gptj", rotary_dim=8),
    "opt": partial(_save_llama_like, model_type="opt", ffn_dim=160, pad_token_id=None),
    "phi": partial(_save_llama_like, model_type="phi"),
    "qwen3": partial(_save_llama_like, model_type="qwen3", head_dim=32, tie_word_embeddings=False),
    "qwen3-tied": partial(_save_llama_like, model_type="qwen3", head_dim=16, tie_word_embeddings=True),
}
