"""What methods are said to take of memory, from files that may say anything."""

import json
import shutil
from dataclasses import replace

import pytest

from tests.tiny_onnx_models import MAKERS
from tuibench.engines.decoder.read import read_decoder
from tuibench.models.memory_needs import need_of
from tuibench.models.model_size import size_of


@pytest.mark.parametrize(
    "odd", [{"num_key_value_heads": [2, 2]}, {"head_dim": [16]}, {"num_hidden_layers": "2"}, {"hidden_size": True}]
)
def test_a_configuration_in_unusual_words_leaves_the_cache_unknown(tiny_llama, tmp_path, odd):
    usual = size_of(tiny_llama.directory)
    assert usual.kv_bytes_per_token > 0
    folder = shutil.copytree(tiny_llama.directory, tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    config.pop("head_dim", None)
    (folder / "config.json").write_text(json.dumps(config | odd))
    found = size_of(folder)
    assert (found.kv_bytes_per_token, found.parameters) == (0, usual.parameters)


@pytest.mark.parametrize("kind", ["gemma4-keys-as-values", "gemma4-told-again", "gpt-oss", "mistral-window"])
def test_a_cache_counts_the_heads_that_each_layer_keeps(kind, tmp_path):
    directory = MAKERS[kind](tmp_path / kind)
    assert size_of(directory).kv_bytes_per_token == read_decoder(directory).kv_cache(by_window=False).bytes_per_token


@pytest.mark.parametrize("told", ["layer_types", "full_attn_idxs"])
def test_what_convolutions_have_read_is_kept_by_graphs_and_kernels_in_fp32(told, tmp_path):
    directory = MAKERS["lfm2-convolutions"](tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    assert config.pop("layer_types") == ["conv", "full_attention", "conv", "conv"]
    kinds = {"layer_types": ["conv", "full_attention", "conv", "conv"], "full_attn_idxs": [1]}
    (directory / "config.json").write_text(json.dumps(config | {told: kinds[told]}))
    size, keys_and_values, rows = size_of(directory), 4 * 2 * 2 * 16, 4 * 3 * 64
    assert (size.kv_bytes_per_token, size.row_bytes_per_token) == (keys_and_values, rows)
    assert read_decoder(directory).kv_cache(by_window=False).bytes_per_token == keys_and_values + rows
    without = replace(size, kv_bytes_per_token=0, row_bytes_per_token=0)  # what is worked with stays
    adds = {
        "kv-cache": keys_and_values,
        "int8-static": keys_and_values + rows,
        "fused-int8": keys_and_values // 4 + rows,
    }
    for method, bytes_per_token in adds.items():
        assert need_of(method, size, 1000).run - need_of(method, without, 1000).run == 1000 * bytes_per_token


def test_older_files_tell_the_heads_of_layers_by_kind(tmp_path):
    directory = MAKERS["gemma4-keys-as-values"](tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    assert config.pop("per_layer_config")
    by_kind = {"global_head_dim": 48, "num_global_key_value_heads": 1, "attention_k_eq_v": True}
    (directory / "config.json").write_text(json.dumps(config | by_kind))
    assert size_of(directory).kv_bytes_per_token == read_decoder(directory).kv_cache(by_window=False).bytes_per_token


def test_heads_of_layers_are_told_apart_where_there_are_ten_layers_or_more(tmp_path):
    from transformers import Gemma4TextConfig

    kinds = ["sliding_attention", "full_attention"] * 6
    config = Gemma4TextConfig(num_hidden_layers=12, layer_types=kinds, head_dim=8, global_head_dim=16)
    directory = MAKERS["gemma4-keys-as-values"](tmp_path / "model")
    config.save_pretrained(directory)
    assert size_of(directory).kv_bytes_per_token == read_decoder(directory).kv_cache(by_window=False).bytes_per_token


def test_a_long_prompt_takes_memory_to_work_with(tiny_llama):
    size = size_of(tiny_llama.directory)
    for method in ("kv-cache", "int8-dynamic", "fused-int4"):
        assert need_of(method, size, 4000).run > need_of(method, size, 0).run + 4000 * size.kv_bytes_per_token


@pytest.mark.parametrize(("kind", "one_by_one"), [("qwen3-moe", True), ("gpt-oss", False)])
def test_experts_are_counted_and_whether_files_hold_them_one_by_one(kind, one_by_one, tmp_path):
    from transformers import AutoModelForCausalLM

    directory = MAKERS[kind](tmp_path / kind)
    named = AutoModelForCausalLM.from_pretrained(directory).named_parameters()
    weights = {name: parameter.numel() for name, parameter in named if ".experts." in name}
    n_layers = len({name.partition(".experts.")[0] for name in weights})
    size = size_of(directory)
    assert (size.experts, size.experts_at_once) == (sum(weights.values()), sum(weights.values()) // n_layers)
    assert size.experts_apart == (size.experts if one_by_one else 0)


def test_experts_take_memory_where_they_are_put_together_and_where_they_are_gathered(tiny_llama):
    size = replace(size_of(tiny_llama.directory), is_fp32=False)
    assert (size.experts, size.experts_apart) == (0, 0)
    sparse = replace(size, experts=10**9, experts_apart=10**9, experts_at_once=10**8)
    more = {
        method: need_of(method, sparse, 1).run - need_of(method, size, 1).run for method in ("kv-cache-bf16", "onnx")
    }
    assert more == {"kv-cache-bf16": 2 * 10**9 + 4 * 10**8, "onnx": 330 * 10**6}
    assert need_of("onnx-fused", sparse, 1).mapped == 4 * 10**9
    assert need_of("int8-dynamic", sparse, 1).mapped == 0
