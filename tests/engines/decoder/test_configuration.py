"""What a `config.json` says is what transformers takes it for, or a refusal."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.defaults import ALIASES, DEFAULT_THETAS, DEFAULTS, WITHOUT_EFFECT
from tuibench.engines.decoder.read import read_decoder

WITH_HEAD_DIM_OF_FILES = {
    *(
        "exaone4",
        "granite",
        "granitemoe",
        "olmo2",
        "olmo3",
        "olmoe",
        "phi3",
        "qwen2",
        "qwen3_moe",
        "smollm3",
        "starcoder2",
    )
}
FACTORS = ("short_factor", "long_factor")
SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3, "max_position_embeddings": 256}


def read(directory, **config):
    (directory / "config.json").write_text(json.dumps(config))
    return read_decoder(directory)


@pytest.mark.parametrize("model_type", DEFAULTS)
def test_every_setting_of_transformers_is_known_with_its_default(model_type):
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    general = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    config_class = CONFIG_MAPPING[model_type]
    fields = {field.name: field.default for field in dataclasses.fields(config_class) if field.name not in general}
    if model_type in WITH_HEAD_DIM_OF_FILES:
        fields["head_dim"] = None  # no field of its class, but its code uses one that a file sets
    theta = config_class.default_theta
    if model_type == "gemma3_text":  # no fields, either, but its class takes them from a file
        fields |= {"sliding_window_pattern": 6, "rope_local_base_freq": theta["local"]}
        theta = theta["global"]
    deciding = {name: default for name, default in fields.items() if name not in WITHOUT_EFFECT}
    assert deciding == dict(DEFAULTS[model_type])
    assert dict(ALIASES.get(model_type, {})) == config_class.attribute_map
    assert DEFAULT_THETAS.get(model_type, 10_000.0) == theta


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_logit_softcapping": 50.0},
        {"final_logit_softcapping": 30.0},
        {"logit_scale": 0.0625},
        {"logits_scaling": 8.0},
        {"embedding_multiplier": 12.0},
        {"residual_multiplier": 0.22},
        {"attention_multiplier": 0.0078},
        {"query_pre_attn_scalar": 256},
        {"scale_emb": 12, "scale_depth": 1.4},
        {"clip_qkv": 8.0},
        {"no_rope_layers": [1, 1, 0]},
        {"rope_interleaved": True},
        {"rotary_pct": 0.25},
        {"partial_rotary_factor": 0.5},
        {"sliding_window": 64},
        {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        {"attention_chunk_size": 64},
        {"use_parallel_residual": True},
        {"use_qk_norm": True},
        {"num_nextn_predict_layers": 1},
        {"num_kv_shared_layers": 1},
        {"per_layer_config": {"0": {"head_dim": 8}}},
        {"hidden_act": "gelu"},
        {"is_encoder_decoder": True},
        {"num_attention_heads": "4"},
        {"num_key_value_heads": 3},
        {"head_dim": 15},
        {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e6}}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "llama_4_scaling_beta": 0.1}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
        {"rope_scaling": "linear"},
        {"compression_config": {"quant_method": "compressed-tensors"}},
        {"quantization": {"bits": 4, "group_size": 64}},
    ],
    ids="-".join,
)
def test_what_the_graphs_do_not_compute_is_refused_in_one_line(changes, tmp_path):
    with pytest.raises(UnsupportedModelError) as caught:
        read(tmp_path, model_type="llama", **{**SIZES, **changes})
    assert "\n" not in str(caught.value)


def test_the_setting_and_its_value_are_named(tmp_path):
    with pytest.raises(
        UnsupportedModelError, match=r"^config\.json sets logit_scale to 0\.0625, which is not a setting"
    ):
        read(tmp_path, model_type="llama", **SIZES, logit_scale=0.0625)


@pytest.mark.parametrize(
    ("rope", "told"),
    [
        ({"rope_type": "longrope", "short_factor": [1.0] * 8}, "sets long_factor .* to None; 8 numbers above 0"),
        ({"type": "su", "short_factor": [1.0] * 7, "long_factor": [2.0] * 8}, "short_factor .*; 8 numbers above 0"),
        ({"rope_type": "longrope", "short_factor": [1.0] * 7 + [0], "long_factor": [2.0] * 8}, "8 numbers above 0"),
        ({"rope_type": "linear", "factor": 4.0}, "a Phi-3 with a linear rotary embedding is not described here"),
        ({"rope_type": "default", "partial_rotary_factor": 0.35}, "5 elements of a head 16 wide cannot be rotated"),
        ({"rope_type": "default", "partial_rotary_factor": 1.5}, "24 elements of a head 16 wide cannot be rotated"),
        ({"rope_type": "default", "partial_rotary_factor": "half"}, "partial_rotary_factor .* to 'half'; a number"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_rotations_of_a_phi3_that_no_table_has_are_refused(rope, told, tmp_path):
    with pytest.raises(UnsupportedModelError, match=told):
        read(tmp_path, model_type="phi3", **SIZES, rope_scaling={"rope_theta": 1e4, **rope})


@pytest.mark.parametrize("key", ["qk_layernorm", "use_parallel_residual"])
def test_what_some_stablelms_do_is_refused(key, tmp_path):
    with pytest.raises(UnsupportedModelError, match=rf"^config\.json sets {key} to True, which is not described here$"):
        read(tmp_path, model_type="stablelm", **SIZES, num_key_value_heads=2, **{key: True})


@pytest.mark.parametrize(
    ("model_type", "changes", "told"),
    [
        ("gemma", {"use_bidirectional_attention": True}, "has attention look ahead"),
        ("gemma4_text", {"use_bidirectional_attention": "all"}, "has attention look ahead"),
        ("gemma4_text", {"enable_moe_block": True}, "with experts beside its feed-forward"),
        ("gemma4_text", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "sets rope_scaling, which"),
        ("gemma4_text", {"num_kv_shared_layers": 3}, "sets num_kv_shared_layers to 3; fewer than 3"),
        ("gemma4_text", {"num_kv_shared_layers": 2}, "share keys that no earlier layer keeps"),
        ("gemma4_text", {"layer_types": ["conv"] * 3}, "sets layer_types to ['conv', 'conv', 'conv']"),
        ("gemma4_text", {"per_layer_config": {"2": {"hidden_size": 8}}}, "heads that are the same in all layers"),
        ("gemma", {"hidden_act": "gelu"}, "the activation 'gelu' is not described here"),
        ("gemma2", {"query_pre_attn_scalar": 0}, "sets query_pre_attn_scalar to 0; a number above 0"),
        ("gemma2", {"attn_logit_softcapping": -50.0}, "sets attn_logit_softcapping to -50.0; a number above 0"),
        ("gemma2", {"final_logit_softcapping": "30"}, "sets final_logit_softcapping to '30'; a number above 0"),
        ("gemma3_text", {"attn_logit_softcapping": 50.0}, "caps the scores of attention"),
        ("gemma3_text", {"sliding_window_pattern": 0}, "sets sliding_window_pattern to 0"),
        ("gemma3_text", {"sliding_window": None, "layer_types": ["sliding_attention"] * 3}, "without a window"),
        (
            "gemma3_text",
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
            "those of full_attention",
        ),
        ("gemma3_text", {"rope_scaling": "linear"}, "parameters by name were expected"),
        (
            "olmo3",
            {"rope_parameters": {"sliding_attention": {"rope_type": "longrope", **dict.fromkeys(FACTORS, [1.0] * 8)}}},
            "has the rotation of layers with a window change with the length",
        ),
        ("olmo3", {"rope_scaling": {"type": "yarn", "factor": 8.0}}, "sets factor of a default rotary embedding"),
        ("hunyuan_v1_dense", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic' is not described here"),
        ("hunyuan_v1_dense", {"rope_scaling": {"type": "dynamic", "alpha": -2.0}}, "alpha to -2.0; a number above 0"),
    ],
)
def test_what_changes_the_arithmetic_of_these_is_refused(model_type, changes, told, tmp_path):
    with pytest.raises(UnsupportedModelError, match=f"^[^\n]*{re.escape(told)}"):
        read(tmp_path, model_type=model_type, **{**SIZES, "num_key_value_heads": 2, "head_dim": 16, **changes})


GEMMA2 = {
    "cache_implementation": "hybrid",
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "sliding_window": 8,
    "sliding_window_size": 8,
}
GEMMA3 = {
    "_sliding_window_pattern": 6,
    "cache_implementation": "hybrid",
    "rope_local_base_freq": 10000,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "rope_theta": 1000000,
    "use_bidirectional_attention": False,
}
GEMMA4 = {
    "global_head_dim": 32,
    "num_global_key_value_heads": None,
    "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 16,
    "vocab_size_per_layer_input": 384,
    "use_bidirectional_attention": "vision",
    "rope_parameters": {
        "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    },
}
PHI4_MINI = {
    "attention_bias": False,
    "full_attn_mod": 1,
    "interpolate_factor": 1,
    "lm_head_bias": False,
    "mlp_bias": False,
    "partial_rotary_factor": 0.75,
    "original_max_position_embeddings": 64,
    "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 6, "long_factor": [2.0] * 6},
}
HUNYUAN = {
    "attention_head_dim": 16,
    "cla_share_factor": 2,
    "norm_type": "rms",
    "rope_scaling": {"alpha": 1000.0, "beta_fast": 32, "beta_slow": 1, "factor": 1.0, "mscale": 1.0, "type": "dynamic"},
    "use_cla": False,
    "use_qk_norm": True,
    "use_rotary_pos_emb": True,
}


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("gemma2", GEMMA2),
        ("gemma3_text", GEMMA3),
        ("gemma4_text", GEMMA4),
        ("phi3", PHI4_MINI),
        ("hunyuan_v1_dense", HUNYUAN),
    ],
)
def test_what_published_files_say_is_understood(model_type, said, tmp_path):
    assert read(tmp_path, model_type=model_type, **SIZES, num_key_value_heads=2, head_dim=16, **said).n_layers == 3


def test_what_a_file_says_of_what_its_type_always_does_is_let_through(tmp_path):
    sizes = {**SIZES, "head_dim": 16}
    said = {"use_qk_norm": True, "use_rotary_pos_emb": True}
    expected = read(tmp_path, model_type="hunyuan_v1_dense", **sizes)
    assert read(tmp_path, model_type="hunyuan_v1_dense", **sizes, **said) == expected
    with pytest.raises(UnsupportedModelError, match=r"^config\.json sets use_(qk_norm|rotary_pos_emb) to True"):
        read(tmp_path, model_type="llama", **sizes, **said)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), True, None, "12"])
@pytest.mark.parametrize(
    "key", ["embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"]
)
def test_factors_that_cannot_be_folded_are_refused(key, value, tmp_path):
    with pytest.raises(UnsupportedModelError, match=f"^config.json sets {key} to .* a number above 0 was expected"):
        read(tmp_path, model_type="granite", **SIZES, **{key: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_logit_softcapping": None, "embedding_multiplier": 1.0, "logits_scaling": 1, "rope_interleaved": False},
        {"sliding_window": None, "use_sliding_window": False, "max_window_layers": 28},
        {"sliding_window": 32768},
        {"layer_types": ["full_attention"] * 3},
        {"num_nextn_predict_layers": 0, "no_rope_layers": []},
        {"is_llama_config": True, "transformers.js_config": {"dtype": "q4"}, "unsloth_version": "2026.1"},
        {"rope_scaling": None, "rope_theta": 1e6, "pretraining_tp": 1, "attention_dropout": 0.1},
    ],
    ids="-".join,
)
def test_what_changes_nothing_is_let_through(changes, tmp_path):
    assert read(tmp_path, model_type="llama", **SIZES, **changes) == dataclasses.replace(
        read(tmp_path, model_type="llama", **SIZES),
        rope=read(tmp_path, model_type="llama", **SIZES, **changes).rope,
    )


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("llama", {}),
        ("llama", {"num_key_value_heads": None, "head_dim": None}),
        ("llama", {"attention_bias": True, "num_key_value_heads": 2}),
        ("arcee", {"num_key_value_heads": 2, "head_dim": 8}),
        ("arcee", {"attention_bias": True, "mlp_bias": True}),
        ("ernie4_5", {}),
        ("ernie4_5", {"use_bias": True, "head_dim": None}),
        ("exaone4", {"num_key_value_heads": 2, "head_dim": 8}),
        ("exaone4", {"num_key_value_heads": 2, "num_hidden_layers": 9, "sliding_window": 8}),
        ("exaone4", {"num_key_value_heads": 2, "sliding_window": None, "layer_types": ["full_attention"] * 3}),
        (
            "exaone4",
            {
                "num_key_value_heads": 2,
                "sliding_window": 8,
                "sliding_window_pattern": "LGL",
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
        ),
        ("gemma", {"num_key_value_heads": 2, "head_dim": 8, "attention_bias": True}),
        ("gemma2", {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8}),
        ("gemma2", {"num_key_value_heads": 2, "sliding_window": 8, "layer_types": ["full_attention"] * 3}),
        ("gemma3_text", {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "num_hidden_layers": 13}),
        ("gemma3_text", {"num_key_value_heads": 2, "sliding_window": 8, "sliding_window_pattern": 2}),
        (
            "gemma4_text",
            {
                "num_key_value_heads": 2,
                "head_dim": 8,
                "global_head_dim": 16,
                "num_hidden_layers": 13,
                "num_kv_shared_layers": 7,
                "use_double_wide_mlp": True,
                "hidden_size_per_layer_input": 4,
                "vocab_size_per_layer_input": 8,
            },
        ),
        (
            "gemma4_text",
            {
                "num_key_value_heads": 4,
                "head_dim": 8,
                "per_layer_config": {"2": {"head_dim": 16, "num_key_value_heads": 2}},
                "attention_k_eq_v": True,
                "attention_bias": True,
                "hidden_size_per_layer_input": 0,
                "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            },
        ),
        (  # as transformers writes it: with as many digits as the last layer's index has
            "gemma4_text",
            {
                "head_dim": 8,
                "num_hidden_layers": 12,
                "per_layer_config": {"05": {"head_dim": 16}, "11": {"head_dim": 16}},
                "hidden_size_per_layer_input": 0,
            },
        ),
        ("gemma4_unified_text", {"head_dim": 8, "num_hidden_layers": 7, "num_global_key_value_heads": 1}),
        ("hunyuan_v1_dense", {"num_key_value_heads": 2, "head_dim": 8, "attention_bias": True}),
        ("olmo3", {"num_key_value_heads": 2, "pad_token_id": 0, "sliding_window": 8, "num_hidden_layers": 9}),
        ("granite", {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True, "head_dim": 8}),
        ("mistral", {"num_attention_heads": 16}),
        ("mistral", {"sliding_window": None, "num_key_value_heads": 2}),
        ("ministral", {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8}),
        ("ministral", {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": None}),
        (
            "ministral",
            {
                "num_key_value_heads": 2,
                "head_dim": 8,
                "sliding_window": 8,
                "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            },
        ),
        ("olmo2", {"num_key_value_heads": 2, "head_dim": 8, "attention_bias": True}),
        ("phi3", {"pad_token_id": 0, "num_key_value_heads": 2, "sliding_window": 8}),
        ("phi3", {"pad_token_id": 0, "head_dim": 8, "partial_rotary_factor": 0.5, "tie_word_embeddings": True}),
        ("seed_oss", {"num_key_value_heads": 2}),
        ("seed_oss", {"num_key_value_heads": 2, "attention_out_bias": True, "mlp_bias": True, "head_dim": None}),
        ("smollm3", {"pad_token_id": 0, "num_hidden_layers": 9}),
        ("smollm3", {"pad_token_id": 0, "num_hidden_layers": 9, "no_rope_layer_interval": 2, "sliding_window": 8}),
        ("smollm3", {"pad_token_id": 0, "no_rope_layers": [0, 1, 0], "use_sliding_window": True, "sliding_window": 8}),
        (
            "smollm3",
            {
                "pad_token_id": 0,
                "no_rope_layers": [0, 1, 0, 1],
                "use_sliding_window": True,
                "sliding_window": 8,
                "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            },
        ),
        ("stablelm", {"num_key_value_heads": 2}),
        ("stablelm", {"num_key_value_heads": 4, "use_qkv_bias": True, "partial_rotary_factor": 0.5}),
        ("starcoder2", {}),
        ("starcoder2", {"use_bias": False, "sliding_window": 8, "head_dim": 8}),
        ("qwen2", {"num_attention_heads": 32}),
        ("qwen2", {"num_key_value_heads": 2, "use_sliding_window": True, "num_hidden_layers": 30}),
        ("qwen2", {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
        ("qwen2", {"num_key_value_heads": 2, "sliding_window": 8, "max_window_layers": 1}),
        (
            "qwen3",
            {
                "num_key_value_heads": 4,
                "use_sliding_window": True,
                "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
        ),
        ("cohere2", {"num_key_value_heads": 2, "sliding_window": 8, "num_hidden_layers": 9}),
        ("falcon", {"bias": True}),
        ("falcon", {"multi_query": False, "parallel_attn": False, "ffn_hidden_size": 96}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1}),
        ("gpt_neox", {"rotary_pct": 0.5}),
        ("gpt_neox", {"use_parallel_residual": False, "attention_bias": False}),
        ("gptj", {"rotary_dim": 4, "n_inner": 96}),
        ("opt", {"ffn_dim": 96, "pad_token_id": None}),
        ("phi", {"num_key_value_heads": 2}),
        ("gpt_oss", {"num_local_experts": 4, "num_key_value_heads": 2, "sliding_window": 8}),
        ("gpt_oss", {"num_experts": 4, "num_key_value_heads": 2, "layer_types": ["full_attention"] * 3}),
        ("granitemoe", {"num_local_experts": 4, "num_key_value_heads": 2, "attention_bias": True}),
        ("lfm2", {"num_key_value_heads": 2, "full_attn_idxs": [0, 2], "conv_bias": True, "block_multiple_of": 8}),
        ("mixtral", {"num_local_experts": 4, "num_key_value_heads": 2, "sliding_window": 8, "head_dim": 8}),
        ("olmoe", {"pad_token_id": None, "num_local_experts": 8, "num_key_value_heads": 2}),
        ("qwen3_moe", {"num_experts": 8, "num_key_value_heads": 2, "moe_intermediate_size": 6}),
        (
            "qwen3_moe",
            {"num_local_experts": 8, "use_sliding_window": True, "sliding_window": 8, "mlp_only_layers": [1]},
        ),
        ("qwen3_moe", {"num_experts": 8, "num_hidden_layers": 5, "decoder_sparse_step": 2}),
        ("gpt2", {}),
        ("gpt2", {"n_inner": 100, "n_embd": 48, "hidden_size": 96}),
    ],
)
def test_sizes_and_windows_are_those_of_transformers(model_type, changes, tmp_path):
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM
    from transformers.core_model_loading import revert_weight_conversion

    small = {"vocab_size": 8, "intermediate_size": 12, **SIZES, **changes}
    decoder = read(tmp_path, model_type=model_type, **small)
    config = CONFIG_MAPPING[model_type].from_dict(dict(small))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    in_files = revert_weight_conversion(model, model.state_dict())  # experts, in most files, one by one
    stored = {name.removeprefix(decoder.prefix): tuple(tensor.shape) for name, tensor in in_files.items()}
    assert decoder.stored_shapes() == stored
    layers = [layer for layer in getattr(model.base_model, "layers", []) if not hasattr(layer, "conv")]
    attentions = decoder.attentions.values()
    kinds = getattr(config, "layer_types", None)
    windows = [
        config.sliding_window if kinds is None or kinds[index] == "sliding_attention" else None
        for index, _ in enumerate(layers)
        if hasattr(config, "sliding_window")
    ]
    assert [each.window for each in attentions] == (windows or [None] * len(attentions))
    if model_type == "exaone4":
        rotate = [not layer.self_attn.sliding_window or layer.self_attn.is_sliding for layer in layers]
    elif model_type == "cohere2":
        rotate = [layer.self_attn.sliding_window for layer in layers]
    elif model_type in {"gpt2", "opt"}:
        rotate = [False] * decoder.n_layers
    else:
        rotate = [getattr(getattr(layer, "self_attn", None), "use_rope", True) for layer in layers] or [
            True for _ in decoder.layers
        ]
    assert [each.rotated for each in attentions] == [bool(each) for each in rotate]


@pytest.mark.parametrize("flags", [[1, 0], [1, 0, 2], [1, 0, [1]], "101", [], 3])
def test_flags_of_rotation_that_are_none_for_each_layer_are_refused(flags, tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"^config\.json sets no_rope_layers to .* for each of 3 layers"):
        read(tmp_path, model_type="smollm3", **SIZES, num_key_value_heads=2, no_rope_layers=flags)
