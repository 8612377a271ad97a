"""The size that an engine tells, against the tensors in transformers' own cache after so many tokens."""

import pytest
import torch

from tests.tiny_models import save_gpt2, save_llama
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.torch.eager import KvCache

N_TOKENS = 40


def save(model_class, config):
    def into(directory):
        torch.manual_seed(0)
        model_class(config).save_pretrained(directory)
        return directory

    return into


def models():
    from transformers import (
        DeepseekV3Config,
        DeepseekV3ForCausalLM,
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        JambaConfig,
        JambaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
    )

    small = {
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    latent = {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8}
    experts = {
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "moe_intermediate_size": 16,
    }
    mamba = {"mamba_d_state": 4, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 4, "use_mamba_kernels": False}
    offsets = {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1}
    return {
        "llama": save_llama,
        "gpt2": save_gpt2,
        "mistral": save(MistralForCausalLM, MistralConfig(**small, sliding_window=16, head_dim=8)),
        "gemma3": save(
            Gemma3ForCausalLM, Gemma3TextConfig(**small, head_dim=8, sliding_window=16, sliding_window_pattern=2)
        ),
        "deepseek_v3": save(
            DeepseekV3ForCausalLM, DeepseekV3Config(**(small | {"num_key_value_heads": 4}), **latent, **experts)
        ),
        "jamba": save(JambaForCausalLM, JambaConfig(**small, **mamba, **offsets, num_experts=2)),
    }


def held_by_transformers(directory):
    """The bytes of all tensors that its cache keeps after `N_TOKENS`, read token by token."""
    from transformers import AutoModelForCausalLM, DynamicCache

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        for position in range(N_TOKENS):
            model(torch.tensor([[position % 90 + 3]]), cache=cache, use_cache=True)
    tensors = []
    for layer in cache.layers:
        states = [getattr(layer, name, None) or {} for name in ("conv_states", "recurrent_states")]
        tensors += [getattr(layer, "keys", None), getattr(layer, "values", None)]
        tensors += [state for each in states for state in each.values()]
    n_windows = sum(getattr(layer, "is_sliding", False) for layer in cache.layers)
    return sum(tensor.nbytes for tensor in tensors if tensor is not None), n_windows


@pytest.mark.parametrize("name", models())
def test_the_size_told_is_what_the_cache_holds(name, tmp_path):
    directory = models()[name](tmp_path / name)
    told = KvCache().load(directory, 1, lambda *_: None).kv_cache
    held, n_windows = held_by_transformers(directory)
    # A window of 16 keeps 15 positions: the newest token's own is in the step that reads them.
    newest = told.sliding_bytes_per_token if n_windows else 0
    assert told.at(N_TOKENS) - newest == held
    if name in {"llama", "gpt2", "mistral"}:
        assert read_decoder(directory).kv_cache() == told
