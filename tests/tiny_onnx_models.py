"""Tiny models with what the ONNX graphs have to tell apart: grouped heads, biases, norms per head, own heads."""

from __future__ import annotations

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
    "gpt2-by-layer": lambda path: _save_gpt2_like(
        path,
        n_embd=72,
        n_layer=3,
        n_head=3,
        n_inner=100,
        scale_attn_by_inverse_layer_idx=True,
        tie_word_embeddings=False,
    ),
    "llama": save_llama,
    "llama-untied-biased": lambda path: _save_llama_like(
        path, "llama", tie_word_embeddings=False, attention_bias=True, mlp_bias=True
    ),
    "llama3-rope": lambda path: _save_llama_like(
        path,
        "llama",
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
    "yarn-rope": lambda path: _save_llama_like(
        path,
        "llama",
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "arcee": lambda path: _save_llama_like(path, "arcee", attention_bias=True, mlp_bias=True),
    "ernie": lambda path: _save_llama_like(path, "ernie4_5", head_dim=32, use_bias=True),
    "exaone4-two-windows": lambda path: _save_llama_like(path, "exaone4", sliding_window=12, sliding_window_pattern=2),
    "gemma": lambda path: _save_llama_like(path, "gemma", head_dim=32, attention_bias=True),
    "gemma2-caps": lambda path: _save_llama_like(
        path,
        "gemma2",
        head_dim=32,
        sliding_window=12,
        query_pre_attn_scalar=24,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        attention_bias=True,
    ),
    "gemma3-two-rotations": lambda path: _save_llama_like(
        path,
        "gemma3_text",
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
    "granite": lambda path: _save_llama_like(
        path,
        "granite",
        rms_norm_eps=0.01,
        tie_word_embeddings=True,
        attention_bias=True,
        mlp_bias=True,
        embedding_multiplier=12.0,
        residual_multiplier=0.22,
        attention_multiplier=0.125,
        logits_scaling=5.0,
    ),
    "hunyuan": lambda path: _save_llama_like(
        path,
        "hunyuan_v1_dense",
        head_dim=32,
        attention_bias=True,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 1.0, "alpha": 100.0},
    ),
    "mistral-window": lambda path: _save_llama_like(path, "mistral", sliding_window=12, tie_word_embeddings=False),
    "ministral-two-windows": lambda path: _save_llama_like(
        path,
        "ministral",
        head_dim=32,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "seed-oss": lambda path: _save_llama_like(
        path, "seed_oss", head_dim=32, attention_out_bias=True, mlp_bias=True, tie_word_embeddings=True
    ),
    "olmo2": lambda path: _save_llama_like(path, "olmo2", pad_token_id=None, attention_bias=True),
    "olmo3-two-rotations": lambda path: _save_llama_like(
        path,
        "olmo3",
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
    "phi3-longrope": lambda path: _save_llama_like(
        path,
        "phi3",
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
    "phi3-partly-rotated": lambda path: _save_llama_like(
        path,
        "phi3",
        sliding_window=12,
        pad_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
    ),
    "smollm3-two-windows": lambda path: _save_llama_like(
        path,
        "smollm3",
        no_rope_layers=[1, 0, 1],
        use_sliding_window=True,
        sliding_window=12,
        attention_bias=True,
        pad_token_id=None,
    ),
    "stablelm": lambda path: _save_llama_like(path, "stablelm", use_qkv_bias=True),
    "starcoder2-window": lambda path: _save_llama_like(path, "starcoder2", sliding_window=12, tie_word_embeddings=True),
    "qwen2": lambda path: _save_llama_like(path, "qwen2", tie_word_embeddings=True),
    "qwen2-two-windows": lambda path: _save_llama_like(
        path,
        "qwen2",
        head_dim=32,
        num_key_value_heads=1,
        use_sliding_window=True,
        sliding_window=12,
        max_window_layers=1,
    ),
    "gpt-oss": lambda path: _save_llama_like(
        path, "gpt_oss", head_dim=32, sliding_window=12, num_local_experts=4, num_experts_per_tok=2, swiglu_limit=0.5
    ),
    "granite-moe": lambda path: _save_llama_like(
        path,
        "granitemoe",
        rms_norm_eps=0.01,
        num_local_experts=4,
        num_experts_per_tok=2,
        attention_bias=True,
        embedding_multiplier=12.0,
        residual_multiplier=0.22,
        attention_multiplier=0.125,
        logits_scaling=5.0,
    ),
    "mixtral-window": lambda path: _save_llama_like(
        path, "mixtral", sliding_window=12, num_local_experts=4, num_experts_per_tok=2
    ),
    "olmoe": lambda path: _save_llama_like(
        path, "olmoe", pad_token_id=None, num_experts=8, num_experts_per_tok=3, attention_bias=True
    ),
    "qwen3-moe": lambda path: _save_llama_like(
        path, "qwen3_moe", head_dim=32, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=48
    ),
    "cohere2-two-windows": lambda path: _save_llama_like(
        path,
        "cohere2",
        attention_bias=True,
        sliding_window=12,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        pad_token_id=None,
    ),
    "falcon": lambda path: _save_llama_like(path, "falcon", bias=True),
    "falcon-in-turn": lambda path: _save_llama_like(path, "falcon", parallel_attn=False, multi_query=False),
    "falcon-two-norms": lambda path: _save_llama_like(path, "falcon", new_decoder_architecture=True, num_kv_heads=2),
    "gpt-neox": lambda path: _save_llama_like(path, "gpt_neox"),
    "gpt-neox-in-turn": lambda path: _save_llama_like(path, "gpt_neox", use_parallel_residual=False),
    "gptj": lambda path: _save_llama_like(path, "gptj", rotary_dim=8),
    "opt": lambda path: _save_llama_like(path, "opt", ffn_dim=160, pad_token_id=None),
    "phi": lambda path: _save_llama_like(path, "phi"),
    "qwen3": lambda path: _save_llama_like(path, "qwen3", head_dim=32, tie_word_embeddings=False),
    "qwen3-tied": lambda path: _save_llama_like(path, "qwen3", head_dim=16, tie_word_embeddings=True),
}
WITHOUT_KERNELS = frozenset(
    {
        *("gpt-oss", "granite-moe", "mixtral-window", "olmoe", "qwen3-moe"),
        *("cohere2-two-windows", "falcon", "falcon-in-turn", "falcon-two-norms", "gpt-neox", "gpt-neox-in-turn"),
        *("gptj", "opt", "phi"),
    }
)
"""Those that graphs compute and our own kernels do not."""
