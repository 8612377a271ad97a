"""OpenVINO in this process, on models laid out here: they compute what transformers computes."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest

from tests.architectures.folders import save_folder
from tests.engines.runtimes.peers import TOKENS, YARN, changed_llama, decoded, divergence, loaded, log_probabilities
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.runtimes.openvino.engine import OpenVinoFp32
from tuibench.runtimes.catalogue import RUNTIMES


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def test_fp32_is_fp32_everywhere_and_says_so(tiny_llama):
    model_dir = tiny_llama.directory
    engine, info = loaded(OpenVinoFp32, model_dir)
    expected = log_probabilities(model_dir)
    assert divergence(expected[4:], decoded(engine, 5)) < 1e-9
    engine.prefill([7] * 200, 250)  # another text in between
    assert divergence(expected, np.concatenate([np.array(block) for block in engine.score(TOKENS)])) < 1e-9
    assert divergence(expected[4:], decoded(engine, 5)) < 1e-9
    assert info.facts["KV-cache"] == "K FP32, V FP32"
    assert info.facts["computes in"] == "FP32"
    assert "ScaledDotProductAttention" in info.facts["fused"]
    assert info.kv_cache.bytes_per_token == 2 * 2 * 2 * 16 * 4  # K and V, layers, KV heads, width, bytes
    assert info.weight_bytes == pytest.approx(4 * info.parameters, rel=0.02)
    assert info.facts["runtime"] == f"openvino {version('openvino')}"
    assert not OpenVinoFp32().prepare(model_dir, lambda *_: None)
    engine.close()


@pytest.mark.parametrize("model_type", ["gpt2", "qwen2", "qwen3"])
def test_other_families(model_type, tmp_path):
    save_folder(model_type, tmp_path / model_type)
    engine, _ = loaded(OpenVinoFp32, tmp_path / model_type)
    assert divergence(log_probabilities(tmp_path / model_type)[4:], decoded(engine, 5)) < 1e-9
    engine.close()


@pytest.mark.parametrize(
    "changes",
    [{"attention_bias": True, "mlp_bias": True, "rope_parameters": YARN}, {"tie_word_embeddings": False}],
    ids=["biases and yarn", "untied"],
)
def test_llamas_that_differ_in_their_settings(changes, tmp_path):
    model_dir = changed_llama(tmp_path / "llama", changes)
    engine, info = loaded(OpenVinoFp32, model_dir)
    assert divergence(log_probabilities(model_dir)[4:], decoded(engine, 5)) < 1e-9
    table = 0 if "rope_parameters" in changes else 384 * 64  # of which a token takes a row
    assert info.weight_bytes == pytest.approx(4 * (info.parameters - table), rel=0.02)
    engine.close()


@pytest.mark.parametrize(
    ("model_type", "why"), [("gemma", "computed otherwise"), ("mistral", "window"), ("mixtral", "experts")]
)
def test_what_is_not_laid_out_says_so(model_type, why, tmp_path):
    save_folder(model_type, tmp_path / model_type)
    with pytest.raises(UnsupportedModelError, match=f"no OpenVINO graph is laid out of a model .*{why}"):
        OpenVinoFp32().prepare(tmp_path / model_type, lambda *_: None)


def test_a_text_ends_where_its_angles_would_change(tmp_path):
    save_folder("phi3 (longrope)", tmp_path / "model")
    engine, info = loaded(OpenVinoFp32, tmp_path / "model")
    assert info.context_window == 48
    text = TOKENS * 4
    expected = log_probabilities(tmp_path / "model", text)
    assert divergence(expected, np.concatenate([np.array(block) for block in engine.score(text)])) < 1e-9


def test_what_is_tested_here_is_what_the_managed_environment_gets():
    assert f"openvino=={version('openvino').partition('-')[0]}" in RUNTIMES["openvino"].packages
