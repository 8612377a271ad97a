from __future__ import annotations

import json

import pytest

from tuibench.models.cache import cached_models
from tuibench.models.pull import pull_model
from tuibench.models.sources import find_model
from tuibench.models.tokenizer import PromptTokenizer

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_tensor(name, weights):
    """The tensor as GGUF has it: its own name, and query and key rows interleaved for its rotary embedding."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight", weights
    if name == "model.norm.weight":
        return "output_norm.weight", weights
    _, _, layer, rest = name.split(".", 3)
    part = rest.removesuffix(".weight")
    heads = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(part)
    if heads:
        n_rows, n_columns = weights.shape
        weights = weights.reshape(heads, 2, n_rows // heads // 2, n_columns).swapaxes(1, 2).reshape(weights.shape)
    return f"blk.{layer}.{NAMES[part]}.weight", weights


def write_gguf(path, model):
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((model.directory / "config.json").read_text())
    tokenizer = json.loads((model.directory / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    for name, weights in load_file(model.directory / "model.safetensors").items():
        writer.add_tensor(*gguf_tensor(name, weights))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def gguf_file(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.Q0.gguf"
    write_gguf(path, tiny_llama)
    return path


def test_gguf_file_becomes_the_same_model(gguf_file, tiny_llama):
    import torch
    from safetensors.torch import load_file

    assert find_model(str(gguf_file)) is None
    progress = []
    model = pull_model(str(gguf_file), progress.append)
    ours, original = (load_file(m.directory / "model.safetensors") for m in (model, tiny_llama))
    assert ours.keys() == original.keys()
    assert all(torch.equal(ours[name], original[name]) for name in original)
    assert model.source == "tiny.Q0.gguf"
    assert model.name.startswith("tiny.Q0-")
    ids = [PromptTokenizer(m.directory).encode("The quick fox", raw=True) for m in (model, tiny_llama)]
    assert ids[0] == ids[1]
    assert any(report.unit == "tensors" and report.done == report.total == 20 for report in progress)
    assert find_model(str(gguf_file)) == find_model(model.name) == model
    assert [cached.name for cached in cached_models()] == [model.name]
    assert str(gguf_file.parent) not in (model.directory / "config.json").read_text()


def test_cut_off_gguf_file_leaves_nothing(gguf_file):
    from tuibench.models.local import ModelError

    gguf_file.write_bytes(gguf_file.read_bytes()[:-100_000])
    with pytest.raises(ModelError, match=r"tiny\.Q0\.gguf: it cannot be converted"):
        pull_model(str(gguf_file))
    assert cached_models() == []
    assert gguf_file.exists()
