"""Any model type's own default configuration, made tiny: its kinds of layers, experts and windows stay.

Sizes go by the names that configurations share. Lists with one entry per layer keep one layer of each kind that is in
them. What a type needs besides stands in `types.py`.
"""

from __future__ import annotations

from typing import Any

_NAMES_BY_SIZE = (
    # Widths: four heads of 16. A head of 16 is the narrowest that all graphs and kernels here run.
    (64, "hidden_size d_model n_embd emb_dim embedding_dim embedding_size word_embed_proj_dim attention_hidden_size"),
    (64, "input_embedding_size output_embedding_size lru_width"),
    (96, "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim d_inner dff n_inner dim_ff ffn_hidden_size"),
    (96, "feed_forward_size dense_intermediate_size intermediate_size_mlp moe_shared_expert_intermediate_size"),
    (32, "moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size shared_intermediate_size"),
    (32, "shared_experts_intermediate_size"),
    # Heads; keys and values are shared by two of them.
    (4, "num_attention_heads n_head n_heads num_heads attention_heads decoder_attention_heads encoder_attention_heads"),
    (4, "num_decoder_attention_heads num_encoder_attention_heads swa_num_attention_heads"),
    (2, "num_key_value_heads num_kv_heads swa_num_key_value_heads"),
    (16, "head_dim d_head swa_head_dim v_head_dim qk_nope_head_dim dim_head attention_head_size"),
    (8, "qk_rope_head_dim rotary_dim"),
    (16, "q_lora_rank kv_lora_rank o_lora_rank loop_gate_rank"),
    # Indexers: of fewer heads, many scores would be 0, and what is picked from equal ones is chance.
    (16, "index_n_heads index_head_dim"),
    # State spaces and linear attention.
    (4, "linear_num_value_heads linear_num_heads time_step_rank mamba_dt_rank"),
    (2, "linear_num_key_heads"),
    (16, "linear_key_head_dim linear_value_head_dim linear_head_dim mamba_d_head mamba_head_dim"),
    (8, "state_size ssm_state_size mamba_d_state mamba_n_heads mamba_num_heads"),
    (16, "chunk_size mamba_chunk_size"),
    # Experts: fewer are picked than there are; the first layer is dense where some are.
    (8, "num_experts num_local_experts n_routed_experts moe_num_experts"),
    (2, "num_experts_per_tok num_experts_per_token moe_topk moe_k top_k_experts n_group num_expert_group"),
    (1, "topk_group first_k_dense_replace num_dense_layers"),
    # Shorter than the texts, so that a window that is ignored, or never moves on, shows.
    (16, "sliding_window sliding_window_size attention_chunk_size attention_window_size window_size local_attention"),
    (16, "keep_window_size index_topk"),
    # Longer than the texts.
    (256, "max_position_embeddings n_positions n_ctx max_seq_len context_length model_max_length rel_extent"),
    # As the tokenizer.
    (384, "vocab_size vocab_size_per_layer_input unpadded_vocab_size"),
    (16, "hidden_size_per_layer_input ngram_embed_dim"),
)
SIZES = {name: size for size, names in _NAMES_BY_SIZE for name in names.split()}
TOKENS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "decoder_start_token_id": 0}
LAYER_COUNTS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers",
    "num_encoder_layers", "num_decoder_layers", "num_blocks",
)  # fmt: skip
_MOST_LAYERS = 6


def shrunk(config: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration's dictionary with tiny sizes, and `changes` on top (dictionaries merge)."""
    values = _without_derived(config.to_dict())
    _shrink(values)
    _merge(values, changes)
    return values


def _without_derived(values: dict[str, Any]) -> dict[str, Any]:
    derived = ("per_layer_config", "transformers_version", "qk_head_dim", "kv_channels")
    return {key: value for key, value in values.items() if key not in derived}


def _shrink(values: dict[str, Any]) -> None:
    _fewer_layers(values)
    for key, value in values.items():
        if key in SIZES and type(value) is int and value > 0:
            values[key] = SIZES[key]
        elif key in TOKENS and value is not None:
            values[key] = TOKENS[key]
        elif isinstance(value, dict) and (key.endswith("_config") or key == "attn_config"):
            values[key] = _without_derived(value)
            _shrink(values[key])
    if values.get("kv_lora_rank"):  # latent attention: each head has keys of its own, the rotated part is shared
        values |= {"num_key_value_heads": values["num_attention_heads"], "head_dim": values["qk_rope_head_dim"]}


def _fewer_layers(values: dict[str, Any]) -> None:
    """Keep two layers, and one of each kind: layers whose entries in all lists per layer are the same are of a kind."""
    count_key = next((key for key in LAYER_COUNTS if type(values.get(key)) is int), None)
    if count_key is None:
        return
    n_layers = values[count_key]
    lists = {key: value for key, value in values.items() if isinstance(value, list) and len(value) == n_layers > 2}
    kinds = list(zip(*lists.values(), strict=True)) if lists else [()] * n_layers
    kept: list[int] = []
    for index, kind in enumerate(kinds):
        if not any(repr(kinds[other]) == repr(kind) for other in kept):
            kept.append(index)
    kept = sorted(
        kept[:_MOST_LAYERS] + [index for index in range(n_layers) if index not in kept][: max(0, 2 - len(kept))]
    )
    for key in LAYER_COUNTS:
        if type(values.get(key)) is int:
            values[key] = len(kept)
    for key, value in lists.items():
        values[key] = [value[index] for index in kept]


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
