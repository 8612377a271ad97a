"""onnxruntime-genai in this process, on what its builder really writes."""

from __future__ import annotations

import json
from importlib.metadata import version

import numpy as np
import pytest

from tests.architectures.folders import save_folder, tiny_config
from tests.engines.runtimes.peers import (
    TOKENS,
    YARN,
    changed_llama,
    decoded,
    divergence,
    keep_reference,
    loaded,
    log_probabilities,
)
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.runtimes.genai.engine import GenaiFp32, GenaiInt4
from tuibench.runtimes.catalogue import RUNTIMES
from tuibench.worker.self_check import SelfCheck, WrongModelError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def test_fp32_predicts_what_transformers_does_and_says_what_it_is(tiny_llama):
    model_dir = tiny_llama.directory
    engine, info = loaded(GenaiFp32, model_dir)
    expected = log_probabilities(model_dir)
    first = decoded(engine, 5)
    assert divergence(expected[4:], first) < 1e-6
    engine.prefill([7] * 200, 250)  # another text, and one that needs more room
    assert divergence(expected, np.concatenate([np.array(block) for block in engine.score(TOKENS)])) < 1e-6
    assert divergence(expected[4:], decoded(engine, 5)) < 1e-6
    assert info.facts["KV-cache"] == "K FP32, V FP32"
    assert info.kv_cache.bytes_per_token == 2 * 2 * 2 * 16 * 4  # K and V, layers, KV heads, width, bytes
    # Tied: the head is read whole, and with it all that is stored.
    assert info.weight_bytes == 4 * info.parameters
    assert f"onnxruntime-genai {version('onnxruntime-genai')}" in info.facts["runtime"]
    assert not GenaiFp32().prepare(model_dir, lambda *_: None)
    engine.close()


def test_a_scaling_that_the_builder_drops_is_caught(tmp_path):
    model_dir = changed_llama(tmp_path / "yarn", {"rope_parameters": YARN})
    # The builder asks for a tokenizer, of which it copies the files.
    from transformers import PreTrainedTokenizerFast

    from tests.tiny_models import SPECIAL_TOKENS, train_byte_level_bpe

    PreTrainedTokenizerFast(tokenizer_object=train_byte_level_bpe(), eos_token=SPECIAL_TOKENS[2]).save_pretrained(
        model_dir
    )
    keep_reference(model_dir)
    engine, _ = loaded(GenaiFp32, model_dir)
    with pytest.raises(WrongModelError, match="does not compute this model"):
        SelfCheck(engine, model_dir).run()
    engine.close()
    with pytest.raises(UnsupportedModelError, match="drops the yarn scaling"):
        GenaiInt4().prepare(model_dir, lambda *_: None)


def test_a_scaling_that_was_not_seen_to_be_kept_is_refused_where_weights_are_rounded(tmp_path):
    config = tiny_config("qwen2")
    theta = config.rope_parameters["rope_theta"]
    save_folder("qwen2", tmp_path / "qwen2")
    config.rope_parameters = YARN | {"rope_theta": theta}
    config.save_pretrained(tmp_path / "qwen2")
    with pytest.raises(UnsupportedModelError, match="not seen to keep the yarn scaling"):
        GenaiInt4().prepare(tmp_path / "qwen2", lambda *_: None)


@pytest.mark.parametrize("name", ["gemma2", "qwen2 (sliding window)"])
def test_where_some_layers_have_a_window_long_texts_are_right_one_after_the_other(name, tmp_path):
    save_folder(name, tmp_path / "model")
    engine, info = loaded(GenaiFp32, tmp_path / "model")
    text = TOKENS * 6
    expected = log_probabilities(tmp_path / "model", text)
    for _ in range(2):
        assert divergence(expected, np.concatenate([np.array(block) for block in engine.score(text)])) < 1e-6
    assert (
        divergence(expected[59:61], [np.array(engine.prefill(text[:60], 80)), np.array(engine.decode(text[60]))]) < 1e-6
    )
    assert not engine.keep(4, 80)
    assert info.context_window == 256
    # Of two layers one holds its window only: K and V, KV heads, width, bytes.
    assert info.kv_cache.at(100) == 2 * 2 * 16 * 4 * (100 + 16)


def test_a_text_ends_where_its_angles_would_change(tmp_path):
    save_folder("phi3 (longrope)", tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    # As the files of Phi-3 and Phi-4-mini have it, and the builder asks for it.
    scaling = {"type": "longrope", **{key: rope[key] for key in ("short_factor", "long_factor")}}
    path.write_text(json.dumps(config | {"rope_theta": rope["rope_theta"], "rope_scaling": scaling}))
    engine, info = loaded(GenaiFp32, tmp_path / "model")
    assert info.context_window == 48
    text = TOKENS * 4
    expected = log_probabilities(tmp_path / "model", text)
    assert divergence(expected, np.concatenate([np.array(block) for block in engine.score(text)])) < 1e-6


def test_layers_without_keys_and_values_may_come_first(tmp_path):
    save_folder("lfm2", tmp_path / "model")
    engine, _ = loaded(GenaiFp32, tmp_path / "model")
    for _ in range(2):
        assert divergence(log_probabilities(tmp_path / "model")[4:], decoded(engine, 5)) < 1e-6


def test_where_all_layers_have_a_window_a_text_has_to_fit_into_it(tmp_path):
    save_folder("mistral", tmp_path / "model")
    engine, info = loaded(GenaiFp32, tmp_path / "model")
    assert info.context_window == 16
    expected = log_probabilities(tmp_path / "model")
    for _ in range(2):
        assert divergence(expected[4:], decoded(engine, 5)) < 1e-6


def test_what_is_tested_here_is_what_the_managed_environment_gets():
    assert f"onnxruntime-genai=={version('onnxruntime-genai')}" in RUNTIMES["genai"].packages
