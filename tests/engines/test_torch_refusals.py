"""What transformers would load in silence, or refuse in a table on standard error, is one line that names the fault."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.torch.eager import Baseline, KvCache
from tuibench.engines.torch.int8 import Int8Torch
from tuibench.models.local import ModelError


def load(directory, engine_class=Baseline):
    return engine_class().load(directory, 1, lambda *_: None)


@pytest.fixture
def folder(tiny_llama, tmp_path):
    return shutil.copytree(tiny_llama.directory, tmp_path / "odd")


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **values):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def refusal(folder, kind, engine_class=Baseline):
    with pytest.raises(kind) as caught:
        load(folder, engine_class)
    message = str(caught.value)
    assert "\n" not in message
    assert "trust_remote_code" not in message
    return message


def test_a_missing_tensor_is_not_made_up(folder):
    change_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    assert "lacks model.layers.1.mlp.up_proj.weight" in refusal(folder, ModelError)


def test_an_untied_model_without_a_head_is_not_given_one(folder):
    change_config(folder, tie_word_embeddings=False)
    assert "lacks lm_head.weight" in refusal(folder, ModelError)


def test_a_tensor_that_the_architecture_does_not_use_is_named(folder):
    def add(weights):
        weights["model.layers.0.self_attn.q_norm.weight"] = weights["model.norm.weight"].clone()

    change_weights(folder, add)
    assert "does not use, model.layers.0.self_attn.q_norm.weight" in refusal(folder, ModelError)


def test_a_wrong_shape_is_told_with_both_sizes(folder):
    change_config(folder, num_key_value_heads=None)
    message = refusal(folder, ModelError)
    assert "model.layers.0.self_attn.k_proj.weight has shape [32, 64], but config.json asks for [64, 64]" in message


def test_a_head_that_is_stored_beside_a_tied_embedding_is_used_as_transformers_uses_it(folder):
    import torch
    from transformers import AutoModelForCausalLM

    def add(weights):
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].flip(0).contiguous()

    change_weights(folder, add)
    engine = Baseline()
    engine.load(folder, 1, lambda *_: None)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = model(torch.tensor([[3, 4, 5]])).logits[0, -1].numpy()
    assert abs(engine.prefill([3, 4, 5], 3) - expected).max() < 1e-5


def test_an_encoder_is_not_run_as_a_decoder(tmp_path):
    from transformers import BertConfig, BertLMHeadModel

    small = {
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    BertLMHeadModel(BertConfig(**small, is_decoder=True)).save_pretrained(tmp_path)
    load(tmp_path, KvCache)
    change_config(tmp_path, is_decoder=False)
    assert "bert is an encoder here" in refusal(tmp_path, UnsupportedModelError)


def test_a_model_that_looks_ahead_is_found_out_by_what_it_predicts(tmp_path):
    from transformers import XLNetConfig, XLNetLMHeadModel

    config = XLNetConfig(vocab_size=64, d_model=32, n_layer=2, n_head=2, d_inner=32, initializer_range=0.3)
    XLNetLMHeadModel(config).save_pretrained(tmp_path)
    assert "depends on the tokens that follow" in refusal(tmp_path, UnsupportedModelError)


def test_a_model_without_a_cache_runs_uncached_only(tmp_path):
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

    config = OpenAIGPTConfig(vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=2)
    OpenAIGPTLMHeadModel(config).save_pretrained(tmp_path)
    assert load(tmp_path).kv_cache is None
    assert "openai-gpt takes no cache" in refusal(tmp_path, UnsupportedModelError, KvCache)


def test_a_model_type_that_needs_its_own_code_is_refused_before_anything_is_loaded(folder):
    change_config(folder, model_type="newest", auto_map={"AutoModelForCausalLM": "modeling_newest.Newest"})
    assert "needs code that comes with the model" in refusal(folder, UnsupportedModelError)


def test_a_model_type_that_nobody_knows_is_named(folder):
    change_config(folder, model_type="newest")
    assert "does not know the model type 'newest'" in refusal(folder, UnsupportedModelError)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "compressed-tensors", "fp8"])
@pytest.mark.parametrize("engine_class", [Baseline, KvCache, Int8Torch])
def test_weights_that_are_quantised_already_are_refused(folder, method, engine_class):
    change_config(folder, quantization_config={"quant_method": method, "bits": 4})
    assert f"quantised already ({method})" in refusal(folder, UnsupportedModelError, engine_class)


def test_codes_are_not_taken_for_values(folder):
    import torch

    name = "model.layers.0.mlp.up_proj.weight"
    change_weights(folder, lambda weights: weights.update({name: (weights[name] * 99).to(torch.int8)}))
    assert f"{name} is stored as I8" in refusal(folder, UnsupportedModelError)


def test_experts_that_stay_fp32_are_told_and_those_a_token_goes_to_are_counted(tmp_path):
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=1, max_position_embeddings=64,
    )  # fmt: skip
    MixtralForCausalLM(config).save_pretrained(tmp_path)
    n_experts = 2 * 4 * 3 * 32 * 48
    # Four attention products, the router excepted, which is no linear layer; the head.
    n_linear = 2 * (2 * 32 * 32 + 2 * 32 * 16) + 96 * 32
    fp32, int8 = load(tmp_path, KvCache), load(tmp_path, Int8Torch)
    assert fp32.parameters * 4 - fp32.weight_bytes == 4 * (96 * 32 + n_experts * 3 // 4)
    assert int8.facts["quantised"].startswith(f"{100 * n_linear / (n_linear + n_experts):.0f} %")
    assert int8.weight_bytes == n_linear + 4 * n_experts // 4


def test_a_configuration_that_transformers_cannot_read_is_one_line(folder):
    change_config(folder, hidden_size="wide")
    assert "cannot read config.json of odd" in refusal(folder, ModelError)


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_act": "swigloo"},
        {"rope_parameters": {"rope_type": "magic", "rope_theta": 10000.0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": "abc"}},
    ],
)
def test_a_configuration_that_no_model_can_be_built_from_is_one_line(folder, values):
    change_config(folder, **values)
    assert "cannot build a model from config.json of odd: " in refusal(folder, ModelError)


def test_weights_beside_the_model_are_not_counted(folder):
    before = load(folder).artifact_bytes
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert load(folder).artifact_bytes == before == (folder / "model.safetensors").stat().st_size
