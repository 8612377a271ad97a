"""Tiny models of every architecture that GGUF files are converted from, each with something that must not be lost."""

from __future__ import annotations

from pathlib import Path

from tests.tiny_models import SPECIAL_TOKENS, train_byte_level_bpe

VOCAB_SIZE = 384
_SIZES = {
    "vocab_size": VOCAB_SIZE, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 0,
    "eos_token_id": 2, "pad_token_id": None, "tie_word_embeddings": False,
}  # fmt: skip
_GPT2 = {
    "vocab_size": VOCAB_SIZE, "n_embd": 256, "n_layer": 6, "n_head": 4, "n_positions": 320, "bos_token_id": 0,
    "eos_token_id": 2,
}  # fmt: skip
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 256}
_LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
_LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 64,
    "short_factor": [1.0 + i / 32 for i in range(32)], "long_factor": [2.0 + i / 8 for i in range(32)],
}  # fmt: skip


def _default(theta, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


SOURCES = {
    "llama": ("Llama", {"rope_parameters": _default(10000.0)}),
    "llama, tied, other head_dim": ("Llama", {"head_dim": 32, "tie_word_embeddings": True}),
    "llama, biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, llama3 scaling": ("Llama", {"rope_parameters": _LLAMA3, "max_position_embeddings": 16384}),
    "llama, linear scaling": ("Llama", {"rope_parameters": _LINEAR}),
    "llama, yarn": ("Llama", {"rope_parameters": _YARN}),
    "llama, mistral": ("Mistral", {"head_dim": 32, "sliding_window": None}),
    "llama, mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "granite": (
        "Granite",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.3, "attention_multiplier": 0.05, "logits_scaling": 2.0},
    ),
    "arcee": ("Arcee", {}),
    "smollm3": ("SmolLM3", {"num_hidden_layers": 5, "rope_parameters": _default(10000.0)}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True, "rope_parameters": _default(1000000.0)}),
    "qwen2, yarn": ("Qwen2", {"rope_parameters": _YARN}),
    "qwen3, head_dim 32": ("Qwen3", {"head_dim": 32}),
    "qwen2moe": ("Qwen2Moe", _EXPERTS | {"shared_expert_intermediate_size": 512}),
    "qwen3moe": ("Qwen3Moe", _EXPERTS | {"norm_topk_prob": True, "head_dim": 32}),
    "olmo2": ("Olmo2", {}),
    "phi3": ("Phi3", {"original_max_position_embeddings": 256, "rope_parameters": _default(10000.0)}),
    "phi3, partly rotated": (
        "Phi3",
        {"original_max_position_embeddings": 256, "rope_parameters": _default(10000.0, partial_rotary_factor=0.75)},
    ),
    "phi3, longrope": ("Phi3", {"original_max_position_embeddings": 64, "rope_parameters": _LONGROPE}),
    "gemma": ("Gemma", {"head_dim": 32, "tie_word_embeddings": True}),
    "gemma2": (
        "Gemma2",
        {
            "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "attn_logit_softcapping": 4.0,
            "final_logit_softcapping": 5.0, "tie_word_embeddings": True,
        },
    ),
    "gemma2, layers of 27B": (
        "Gemma2",
        {
            "head_dim": 32, "query_pre_attn_scalar": 64, "num_hidden_layers": 46, "intermediate_size": 256,
            "tie_word_embeddings": True,
        },
    ),
    "gemma3, linear scaling": (
        "Gemma3",
        {
            "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 16, "num_hidden_layers": 7,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": _default(10000.0),
            },
        },
    ),
    "gpt2": ("GPT2", _GPT2),
    "bloom": (
        "Bloom",
        {"vocab_size": VOCAB_SIZE, "hidden_size": 256, "n_layer": 6, "n_head": 4, "bos_token_id": 0, "eos_token_id": 2,
         "seq_length": 256},
    ),
    "falcon": ("Falcon", {"num_kv_heads": 1, "num_attention_heads": 4}),
    "falcon, two norms": ("Falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon, grouped keys": (
        "Falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1}
    ),
    "gptneox": ("GPTNeoX", {"rope_parameters": _default(10000.0, partial_rotary_factor=0.25)}),
    "gptneox, serial": (
        "GPTNeoX",
        {"use_parallel_residual": False, "rope_parameters": _default(10000.0, partial_rotary_factor=1.0)},
    ),
    "stablelm": ("StableLm", {"rope_parameters": _default(10000.0, partial_rotary_factor=0.25)}),
    "stablelm, parallel, biases": (
        "StableLm",
        {"use_parallel_residual": True, "use_qkv_bias": True,
         "rope_parameters": _default(10000.0, partial_rotary_factor=0.5)},
    ),
    "starcoder2": ("Starcoder2", {"tie_word_embeddings": True}),
    "nemotron": ("Nemotron", {"rope_parameters": _default(10000.0, partial_rotary_factor=0.5)}),
    "command-r": ("Cohere", {"tie_word_embeddings": True, "logit_scale": 0.5}),
    "command-r, query and key norms": ("Cohere", {"tie_word_embeddings": True, "use_qk_norm": True}),
    "gpt-oss, yarn": (
        "GptOss",
        {"head_dim": 64, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16,
         "intermediate_size": 256, "rope_parameters": _YARN | {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}},
    ),
    "gpt-oss": (
        "GptOss",
        {"head_dim": 64, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16,
         "intermediate_size": 256, "rope_parameters": _default(10000.0)},
    ),
    "lfm2": (
        "Lfm2",
        {"layer_types": ["conv", "full_attention", "conv", "full_attention"], "tie_word_embeddings": True,
         "block_auto_adjust_ff_dim": False},
    ),
    "mamba": (
        "Mamba", {"vocab_size": VOCAB_SIZE, "hidden_size": 256, "num_hidden_layers": 6, "time_step_rank": 256}
    ),
}  # fmt: skip
"""By what is special: the class in transformers, and the settings that differ from `_SIZES`."""

_WHOLE = {"GPT2", "Bloom", "Mamba"}
_CAUSAL = {"GPT2": "GPT2LMHeadModel"}
_CONFIG = {"Gemma3": "Gemma3TextConfig"}


def source_model(name: str):
    """Return a model with seeded weights in every parameter, norms and biases included."""
    import torch
    import transformers

    kind, settings = SOURCES[name]
    if kind not in _WHOLE:
        settings = _SIZES | settings
    config = getattr(transformers, _CONFIG.get(kind, f"{kind}Config"))(**settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, _CAUSAL.get(kind, f"{kind}ForCausalLM"))(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, 0.08)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def save_source(name: str, directory: Path) -> Path:
    """Save a model with a tokenizer as a folder."""
    from transformers import PreTrainedTokenizerFast

    model = source_model(name)
    model.save_pretrained(directory)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=train_byte_level_bpe(), bos_token=SPECIAL_TOKENS[0], eos_token=SPECIAL_TOKENS[2]
    )
    fast.save_pretrained(directory)
    return directory
