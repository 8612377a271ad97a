"""Tensors are those that the configuration asks for, read as transformers reads them, or the model is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.engines.ort.generation import forced, loaded, opened, transformers_logits
from tests.tiny_onnx_models import MAKERS, _save_gpt2_like, _save_llama_like
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.ort.build import build
from tuibench.engines.ort.recipes import OPTIONS

READERS = ("onnx", "onnx-fused", "int8-dynamic", "fused-fp32", "fused-int8")
TOKENS = [int(token) for token in np.random.default_rng(4).integers(3, 384, 40)]
LAYER = "model.layers.1"


@pytest.fixture
def changed(tiny_model, tmp_path):
    """Return a maker: a model's folder with other weights, and other settings where they are given."""

    def make(kind, change, **settings):
        folder = Path(shutil.copytree(tiny_model(kind), tmp_path / "changed"))
        weights = load_file(folder / "model.safetensors")
        save_file(change(weights) or weights, folder / "model.safetensors", {"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **settings}))
        return folder

    return make


def refusal(folder):
    with pytest.raises(UnsupportedModelError) as caught:
        Checkpoint(folder, read_decoder(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", MAKERS)
def test_every_tensor_that_transformers_saves_is_expected_in_its_shape(kind, tiny_model):
    folder = tiny_model(kind)
    decoder = read_decoder(folder)
    stored = load_file(folder / "model.safetensors")
    shapes = {name.removeprefix(decoder.prefix): tensor.shape for name, tensor in stored.items()}
    expected = decoder.stored_shapes()
    assert shapes == {name: shape for name, shape in expected.items() if name != "lm_head.weight" or name in shapes}
    assert Checkpoint(folder, decoder).parameters == sum(tensor.size for tensor in stored.values())


@pytest.mark.parametrize("method", READERS)
def test_grouped_weights_under_a_configuration_without_groups_are_refused(method, changed, empty_cache):
    folder = changed("llama", without(), num_key_value_heads=None)
    with pytest.raises(UnsupportedModelError, match=r"k_proj\.weight of changed has the shape \[32, 64\].*\[64, 64\]"):
        opened(method, folder)
    assert not (empty_cache / "artifacts").exists()


def without(*names):
    return lambda weights: {name: tensor for name, tensor in weights.items() if name not in names}


def with_tensors(**shapes):
    return lambda weights: weights.update({name: np.ones(shape, np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("kind", "change", "settings", "told"),
    [
        ("llama", without(f"{LAYER}.mlp.up_proj.weight"), {}, "lacks layers.1.mlp.up_proj.weight [128, 64], which"),
        ("llama", without("model.embed_tokens.weight"), {}, "lacks embed_tokens.weight [384, 64] and 1 more, which"),
        ("mistral-window", without("lm_head.weight"), {}, "lacks lm_head.weight [384, 64], which"),
        ("mistral-window", without("model.embed_tokens.weight"), {}, "lacks embed_tokens.weight [384, 64], which"),
        ("llama", without(), {"attention_bias": True}, "lacks layers.0.self_attn.k_proj.bias [32] and 7 more, which"),
        ("llama", without(), {"num_hidden_layers": 1}, "holds layers.1.input_layernorm.weight [64] and 8 more, which"),
        ("llama", with_tensors(**{f"{LAYER}.self_attn.q_norm.weight": 16}), {}, "holds layers.1.self_attn.q_norm"),
        ("qwen2", with_tensors(**{f"{LAYER}.self_attn.o_proj.bias": 64}), {}, "holds layers.1.self_attn.o_proj.bias"),
        ("llama", with_tensors(**{"lm_head.bias": 384}), {}, "holds lm_head.bias [384], which a llama"),
        ("llama", with_tensors(**{"layers.1.mlp.up_proj.weight": 3}), {}, "hold layers.1.mlp.up_proj.weight twice"),
        ("llama", with_tensors(**{"transformer.norm.weight": 64}), {}, "holds transformer.norm.weight [64], which"),
        ("llama", without(), {"vocab_size": 400}, "embed_tokens.weight of changed has the shape [384, 64]"),
        ("llama", without(), {"head_dim": 32}, "has the shape [32, 64]"),
        ("gpt2", without(), {"n_inner": 128}, "h.0.mlp.c_fc.bias of changed has the shape [256]"),
        ("gpt2", without(), {"n_positions": 512}, "wpe.weight of changed has the shape [256, 64]"),
        (
            "llama",
            lambda weights: weights.update({f"{LAYER}.mlp.up_proj.weight": np.ones((128, 64), np.int8)}),
            {},
            "layers.1.mlp.up_proj.weight is stored as I8",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_size(kind, change, settings, told, changed):
    assert told in refusal(changed(kind, change, **settings))


def test_a_tensor_in_two_files_is_refused(tiny_model, tmp_path):
    folder = Path(shutil.copytree(tiny_model("llama"), tmp_path / "changed"))
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    weights = load_file(folder / "a.safetensors")
    save_file({"model.norm.weight": 2 * weights["model.norm.weight"]}, folder / "b.safetensors")
    index = {"weight_map": {**dict.fromkeys(weights, "a.safetensors"), "model.norm.weight": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "norm.weight twice, as model.norm.weight in a.safetensors and as model.norm.weight in b" in refusal(folder)


@pytest.mark.parametrize(
    ("kind", "buffers"),
    [
        ("llama", {f"{LAYER}.self_attn.rotary_emb.inv_freq": (8,)}),
        ("gpt2", {"transformer.h.0.attn.bias": (1, 1, 256, 256), "transformer.h.0.attn.masked_bias": ()}),
    ],
)
def test_buffers_that_older_versions_saved_are_no_weights(kind, buffers, changed, tiny_model):
    folder = changed(kind, with_tensors(**buffers))
    without = tiny_model(kind)
    decoder = read_decoder(folder)
    assert Checkpoint(folder, decoder).parameters == Checkpoint(without, decoder).parameters
    found = forced(loaded("fused-fp32", folder)[0], TOKENS)
    np.testing.assert_allclose(found, transformers_logits(folder, TOKENS), atol=2e-4)


def other_head(weights):
    weights["lm_head.weight"] = np.random.default_rng(0).normal(0, 0.15, (384, 64)).astype(np.float32)


def same_head(weights):
    weights["lm_head.weight"] = next(
        weights[name] for name in weights if name.endswith(("embed_tokens.weight", "wte.weight"))
    )


def only_head(weights):
    same_head(weights)
    return {
        name: tensor for name, tensor in weights.items() if not name.endswith(("embed_tokens.weight", "wte.weight"))
    }


def base_model(weights):
    return {name.partition(".")[2]: tensor for name, tensor in weights.items()}


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
@pytest.mark.parametrize("change", [other_head, same_head, only_head, base_model])
@pytest.mark.parametrize("method", ["onnx-fused", "fused-fp32"])
def test_heads_are_tied_as_transformers_ties_them(method, change, kind, changed):
    folder = changed(kind, change, tie_word_embeddings=True)
    engine, info = loaded(method, folder)
    np.testing.assert_allclose(forced(engine, TOKENS), transformers_logits(folder, TOKENS), atol=2e-4)
    weights = load_file(folder / "model.safetensors")
    twice = 384 * 64 if change is same_head else 0
    assert info.parameters == sum(tensor.size for tensor in weights.values()) - twice


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("method", ["int8-dynamic", "fused-int8"])
def test_quantised_heads_are_those_that_are_stored(method, changed):
    folder = changed("llama", other_head)
    expected, found = transformers_logits(folder, TOKENS), forced(loaded(method, folder)[0], TOKENS)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.usefixtures("empty_cache")
def test_files_of_a_head_that_was_taken_for_the_embedding_are_not_used_again(changed, monkeypatch):
    folder = changed("llama", other_head)
    with monkeypatch.context() as before:
        before.setattr(Checkpoint, "_head_name", "embed_tokens.weight")
        build("onnx-fused", OPTIONS["onnx-fused"], folder, lambda *_: None)
    engine, _, made = opened("onnx-fused", folder)
    assert made
    np.testing.assert_allclose(forced(engine, TOKENS), transformers_logits(folder, TOKENS), atol=2e-4)


@pytest.mark.parametrize("method", ["onnx-fused", "int8-dynamic", "int8-static", "int4-onnx"])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda path: _save_llama_like(path, "llama", head_dim=24),
            "a multiple of 16, and those of this model are 24 wide",
        ),
        (
            lambda path: _save_gpt2_like(path, n_embd=60, n_layer=1, n_head=3),
            "a multiple of 8, and those of this model are 20",
        ),
    ],
    ids=["rotated", "learned"],
)
def test_widths_of_heads_that_the_operator_refuses_are_refused_before_anything_is_made(
    method, make, told, tmp_path, empty_cache
):
    folder = make(tmp_path / "model")
    with pytest.raises(UnsupportedModelError, match=told):
        opened(method, folder)
    assert not (empty_cache / "artifacts").exists()


ODD_SHAPES = {
    "gpt2-5-wide": lambda path: _save_gpt2_like(path, n_embd=15, n_layer=2, n_head=3, n_inner=10),
    "gpt2-unscaled": lambda path: _save_gpt2_like(path, n_embd=60, n_layer=2, n_head=3, scale_attn_weights=False),
    "mistral-10-wide": lambda path: _save_llama_like(
        path, "mistral", hidden_size=50, num_attention_heads=6, num_key_value_heads=3, head_dim=10, intermediate_size=33
    ),
    "qwen3-36-wide": lambda path: _save_llama_like(
        path, "qwen3", hidden_size=40, num_attention_heads=2, num_key_value_heads=1, head_dim=36
    ),
    "llama-biases-80-wide": lambda path: _save_llama_like(
        path, "llama", attention_bias=True, mlp_bias=True, head_dim=80, tie_word_embeddings=True
    ),
    "qwen2-4-wide": lambda path: _save_llama_like(path, "qwen2", num_attention_heads=16, num_key_value_heads=1),
}


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize(
    ("method", "shape"), [*(("fused-fp32", shape) for shape in ODD_SHAPES), ("onnx", "mistral-10-wide")]
)
def test_odd_shapes_give_the_logits_of_transformers(method, shape, tmp_path):
    folder = ODD_SHAPES[shape](tmp_path / "model")
    found = forced(loaded(method, folder)[0], TOKENS)
    np.testing.assert_allclose(found, transformers_logits(folder, TOKENS), atol=2e-4)


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("method", ["onnx-fused", "fused-fp32"])
def test_shards_give_the_logits_of_transformers_and_no_other_file_counts(method, tmp_path, tiny_model):
    from transformers import AutoModelForCausalLM

    folder = Path(shutil.copytree(tiny_model("qwen2"), tmp_path / "sharded"))
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(tiny_model("qwen2")).save_pretrained(folder, max_shard_size="100KB")
    shards = list(folder.glob("model-*.safetensors"))
    assert len(shards) > 2
    save_file({"norm": np.ones(100, np.float32)}, folder / "consolidated.safetensors")
    engine, info = loaded(method, folder)
    np.testing.assert_allclose(forced(engine, TOKENS), transformers_logits(folder, TOKENS), atol=2e-4)
    if method == "fused-fp32":
        assert info.artifact_bytes == sum(path.stat().st_size for path in shards)
