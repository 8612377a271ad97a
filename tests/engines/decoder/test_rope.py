from __future__ import annotations

import json

import numpy as np
import pytest

from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.decoder.rope import check_rope, head_order, rope_tables, rotated_width, switching_length

BASE = {"max_position_embeddings": 4096, "hidden_size": 64, "num_attention_heads": 2}
ROUNDED = 1e-4
"""Of angles up to 300: their frequencies are off by units in the last place, other ones on other processors."""
VARIANTS = {
    "default": {"rope_type": "default", "rope_theta": 1e5},
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 5e5,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1024,
    },
    "yarn": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 1024},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_tables_equal_those_of_transformers(name):
    import torch
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    rotary = LlamaRotaryEmbedding(LlamaConfig(**BASE, rope_parameters=VARIANTS[name]))
    cos, sin = rotary(torch.zeros(1, 1), torch.arange(300)[None])
    found_cos, found_sin = rope_tables(check_rope({**BASE, "rope_parameters": VARIANTS[name]}), 32, 300)
    np.testing.assert_allclose(found_cos, cos[0, :, :16], atol=ROUNDED)
    np.testing.assert_allclose(found_sin, sin[0, :, :16], atol=ROUNDED)


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"rope_theta": 5e5},
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": VARIANTS["linear"], "rope_scaling": {"rope_type": "linear", "factor": 3.0}},
        {"rope_parameters": {"rope_theta": 2e4}, "rope_theta": 5e5},
        {"rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        {"rope_scaling": {"rope_type": "llama3", **LLAMA3}, "original_max_position_embeddings": 512},
        {"rope_parameters": VARIANTS["yarn"], "original_max_position_embeddings": 512},
        {"rope_scaling": {"type": "yarn", "factor": None, "original_max_position_embeddings": 1024}},
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 0.8, "truncate": False}},
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 64, "beta_slow": 2, "attention_factor": 0.9}},
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 1, "beta_slow": 1, "truncate": False}},
    ],
)
def test_files_are_understood_as_transformers_understands_them(written):
    import torch
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    rotary = LlamaRotaryEmbedding(LlamaConfig.from_dict(json.loads(json.dumps({**BASE, **written}))))
    cos, sin = rotary(torch.zeros(1, 1), torch.arange(300)[None])
    found_cos, found_sin = rope_tables(check_rope({**BASE, **written}), 32, 300)
    np.testing.assert_allclose(found_cos, cos[0, :, :16], atol=ROUNDED)
    np.testing.assert_allclose(found_sin, sin[0, :, :16], atol=ROUNDED)


FACTORS = {"short_factor": [1.0 + i / 8 for i in range(16)], "long_factor": [1.0 + i for i in range(16)]}


@pytest.mark.parametrize("length", [64, 65])
@pytest.mark.parametrize(
    "written",
    [
        {"max_position_embeddings": 256, "original_max_position_embeddings": 64},
        {"max_position_embeddings": 64},
        {"rope_scaling": {"factor": 32.0, "original_max_position_embeddings": 64}},
        {"rope_scaling": {"attention_factor": 1.2, "original_max_position_embeddings": 64}},
    ],
)
def test_long_texts_are_turned_by_other_angles_than_short_ones(written, length):
    import torch
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    scaling = {"rope_type": "longrope", "rope_theta": 1e4, **FACTORS, **written.get("rope_scaling", {})}
    config = {**BASE, **written, "rope_scaling": scaling}
    rotary = LlamaRotaryEmbedding(LlamaConfig.from_dict(json.loads(json.dumps(config))))
    cos, sin = rotary(torch.zeros(1, 1), torch.arange(length)[None])
    rope = check_rope(config)
    found_cos, found_sin = rope_tables(rope, 32, length, long=length > switching_length(rope))
    np.testing.assert_allclose(found_cos, cos[0, :, :16], atol=ROUNDED)
    np.testing.assert_allclose(found_sin, sin[0, :, :16], atol=ROUNDED)


@pytest.mark.parametrize(
    ("model_type", "written"),
    [
        ("gemma3_text", {}),
        ("gemma3_text", {"rope_theta": 5e5, "rope_local_base_freq": 2e4}),
        ("gemma3_text", {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
        ("gemma3_text", {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0}}}),
        ("gemma4_text", {"global_head_dim": 32}),
        (
            "gemma4_text",
            {
                "global_head_dim": 32,
                "rope_parameters": {
                    "full_attention": {
                        "rope_type": "proportional",
                        "rope_theta": 1e6,
                        "partial_rotary_factor": 0.6,
                        "factor": 2.0,
                    },
                    "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
                },
            },
        ),
        ("olmo3", {}),
        ("olmo3", {"rope_theta": 1e4}),  # which transformers takes for layers without a window only
        ("olmo3", {"rope_theta": 1e4, "rope_scaling": {"rope_type": "yarn", "factor": 8.0}}),
        (
            "olmo3",
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "default", "rope_theta": 3e4},
                    "sliding_attention": {"rope_type": "linear", "rope_theta": 2e4, "factor": 2.0},
                },
                "rope_scaling": {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64},
            },
        ),
    ],
)
def test_layers_with_a_window_are_turned_by_a_table_of_their_own(model_type, written, tmp_path):
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    sizes = {"vocab_size": 8, "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 8}
    kinds = ["sliding_attention", "full_attention"]
    config = {**BASE, **sizes, "layer_types": kinds, "sliding_window": 8, "pad_token_id": None, **written}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **config}))
    decoder = read_decoder(tmp_path)
    parsed = CONFIG_MAPPING[model_type].from_dict(json.loads(json.dumps(config)))
    rotary = AutoModelForCausalLM.from_config(parsed).model.rotary_emb
    for layer, kind in zip(decoder.layers, kinds, strict=True):
        cos, sin = rotary(torch.zeros(1, 1), torch.arange(300)[None], kind)
        found_cos, found_sin = rope_tables(decoder.rotations[decoder.rotation_of(layer.attention)], 32, 300)
        np.testing.assert_allclose(found_cos, cos[0, :, :16], atol=ROUNDED)
        np.testing.assert_allclose(found_sin, sin[0, :, :16], atol=ROUNDED)


@pytest.mark.parametrize("part", [0.25, 0.75, 1.0])
def test_a_part_of_each_head_is_turned_as_by_transformers_in_another_order(part):
    import torch
    from transformers import Phi3Config
    from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding, apply_rotary_pos_emb

    config = {**BASE, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": part}}
    heads = np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32)
    angles = Phi3RotaryEmbedding(Phi3Config(**config))(torch.zeros(1, 1), torch.arange(40)[None])
    expected = apply_rotary_pos_emb(*[torch.tensor(heads)[None, None]] * 2, *angles)[0].numpy()[0, 0]
    rope = check_rope(config, may_be_partial=True)
    order = list(head_order(rotated_width(rope, 32), 32, neighbours=False)) or slice(None)
    cosine, sine = rope_tables(rope, 32, 40)
    first, second = np.split(heads[:, order], 2, axis=1)
    found = np.hstack([first * cosine - second * sine, second * cosine + first * sine])
    np.testing.assert_allclose(found, expected[:, order], atol=1e-5)


def test_names_of_older_configurations_are_understood():
    rope = check_rope({**BASE, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}})
    assert (rope["rope_type"], rope["rope_theta"], rope["factor"]) == ("linear", 5e5, 2.0)
