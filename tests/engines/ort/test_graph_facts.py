"""What fusion did, and what a model without a graph is told."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.engines.ort.generation import greedy, loaded, opened
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.ort import unfused_session as plain_session
from tuibench.engines.ort.build import build
from tuibench.engines.ort.prepared import cached_artifact
from tuibench.engines.ort.recipes import OPTIONS
from tuibench.engines.ort.session import session_options
from tuibench.engines.ort.unfused_session import UnfusedSession
from tuibench.models.artifacts import ArtifactError


def changed_config(model_dir, target, **changes):
    target.mkdir()
    for path in model_dir.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **changes}))
    return target


@pytest.mark.usefixtures("warm_cache")
def test_fusion_is_told_in_operators(tiny_model):
    _, plain = loaded("onnx", tiny_model("llama"))
    _, fused = loaded("onnx-fused", tiny_model("llama"))
    n_before = int(fused.facts["nodes before fusion"].partition(":")[0])
    n_after = int(fused.facts["nodes"].partition(":")[0])
    assert plain.facts["nodes"] == fused.facts["nodes before fusion"]
    assert n_before > 5 * n_after
    assert "GroupQueryAttention × 2" in fused.facts["fused operators"]
    assert plain.facts["fused operators"] == "none"
    assert plain.facts["KV-cache"].startswith("past and present share buffers")
    assert fused.facts["KV-cache"].startswith("past and present share one buffer")


@pytest.mark.usefixtures("warm_cache")
def test_what_writing_into_the_cache_costs_was_measured(tiny_model):
    _, plain = loaded("onnx", tiny_model("llama"))
    # 2 layers, 2 KV heads of 16 numbers each, keys and values, in FP32; 1,024 positions are beyond this model's window.
    told = r"0\.5 kB a token in [\d,]+ µs at 128 positions; one thread"
    assert re.fullmatch(told, plain.facts["writing into the KV-cache"])
    assert "ScatterElements × 4" in plain.facts["kernels per token"]


@pytest.mark.usefixtures("warm_cache")
def test_no_kernel_of_the_exported_graph_gives_out_a_whole_cache(tiny_model, tmp_path):
    # With so many positions nothing else of a step is as large as the cache.
    folder, capacity = tiny_model("llama"), 200
    loaded("onnx", folder)
    options = session_options(1)
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    decoder = read_decoder(folder)
    session = UnfusedSession(cached_artifact("onnx", folder).directory, decoder, options)
    session.pretend(capacity - 1)
    session.decode(0)
    cache_elements = decoder.n_kv_heads * capacity * decoder.head_dim
    given_out = Counter(
        event["args"]["op_name"]
        for event in json.loads(session.end_profiling().read_text())
        if event["name"].endswith("_kernel_time")
        for output in event["args"]["output_type_shape"]
        for sizes in output.values()
        if math.prod(sizes) >= cache_elements
    )
    assert given_out == {
        "ScatterElements": 2 * decoder.n_layers
    }  # past and present are the same memory: they copy nothing


@pytest.mark.usefixtures("warm_cache")
def test_exported_graph_gives_the_tokens_of_pytorch_while_its_buffers_grow(tiny_model, monkeypatch):
    monkeypatch.setattr(plain_session, "_ROOM", 3)
    prompt = list(range(10, 30))
    expected, _ = greedy(loaded("kv-cache", tiny_model("llama"))[0], prompt, 20)
    engine, _ = loaded("onnx", tiny_model("llama"))
    logits = engine.prefill(prompt, 25)  # fifteen fewer than follow
    found = []
    for _ in range(20):
        found.append(int(logits.argmax()))
        logits = engine.decode(found[-1])
    assert found == expected


@pytest.mark.usefixtures("warm_cache")
def test_same_weights_are_read_by_plain_and_fused_graph(tiny_model):
    _, plain = loaded("onnx", tiny_model("llama"))
    _, fused = loaded("onnx-fused", tiny_model("llama"))
    assert fused.weight_bytes == pytest.approx(plain.weight_bytes, rel=0.01)
    assert fused.parameters == plain.parameters


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "mamba"}, "no ONNX graph for the architecture 'mamba'"),
        ({"hidden_act": "relu"}, "the activation 'relu' is not described here"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4}}, "rotary embedding 'dynamic' is not"),
        ({"quantization_config": {"quant_method": "gptq"}}, "the weights are quantised already"),
    ],
)
@pytest.mark.parametrize("method", ["onnx", "onnx-fused", "int4-onnx"])
def test_models_without_a_graph_are_refused_before_anything_is_made(
    method, changes, reason, tiny_model, empty_cache, tmp_path
):
    folder = changed_config(tiny_model("llama"), tmp_path / "changed", **changes)
    with pytest.raises(UnsupportedModelError, match=reason):
        opened(method, folder)
    assert not (empty_cache / "artifacts").exists()


def test_missing_tensor_is_named(tiny_model, empty_cache, tmp_path):
    folder = changed_config(tiny_model("llama"), tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match=r"lacks layers\.1\.mlp\.down_proj\.weight"):
        opened("onnx-fused", folder)
    assert not list((empty_cache / "artifacts").glob("onnx-fused*"))


def test_an_exported_graph_whose_logits_are_not_finite_is_refused(tiny_model, empty_cache, tmp_path):
    """Other graphs: `test_failed_rows`."""
    folder = changed_config(tiny_model("llama"), tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = np.full_like(weights["model.norm.weight"], np.nan)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ArtifactError, match="logits that are not finite"):
        build("onnx", OPTIONS["onnx"], folder, lambda *_: None)
    assert not list((empty_cache / "artifacts").glob("[!.]*"))


@pytest.mark.usefixtures("warm_cache")
def test_bfloat16_weights_are_read(tiny_model, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    folder = changed_config(tiny_model("llama"), tmp_path / "bf16")
    model = AutoModelForCausalLM.from_pretrained(tiny_model("llama"), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    expected, _ = greedy(loaded("kv-cache", folder)[0], [5, 6, 7], 12)
    assert greedy(loaded("onnx-fused", folder)[0], [5, 6, 7], 12)[0] == expected


@pytest.mark.usefixtures("warm_cache")
def test_serving_imports_neither_torch_nor_the_exporter(tiny_model):
    loaded("onnx-fused", tiny_model("llama"))
    loaded("onnx", tiny_model("llama"))
    program = f"""
import sys
from tests.engines.ort.generation import opened
from pathlib import Path
for method in ("onnx-fused", "onnx"):
    opened(method, Path({str(tiny_model("llama"))!r}))[0].prefill([1, 2, 3], 8)
print([name for name in ("torch", "transformers", "onnx", "onnxscript") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
