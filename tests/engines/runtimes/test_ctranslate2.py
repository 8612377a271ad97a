"""CTranslate2 in this process, on what its converter really writes."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tests.architectures.folders import save_folder
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
from tuibench.core.run.spec import Sampling
from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.runtimes.ctranslate2 import files
from tuibench.engines.runtimes.ctranslate2.engine import CTranslate2Fp32, CTranslate2Int8
from tuibench.models.artifacts import find_artifact
from tuibench.runtimes.catalogue import RUNTIMES
from tuibench.worker.self_check import SelfCheck, WrongModelError
from tuibench.worker.self_picking import tell_sampling

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def converts_here(monkeypatch):
    """The converter runs in this process, which has PyTorch already: a child would load it anew each time."""

    def build(command, recipe, *_):
        model_dir, precision, _packages = command[3:]
        if find_artifact(recipe) is not None:
            return False
        files._write(Path(model_dir), precision, lambda *_: None)
        return True

    monkeypatch.setattr(files, "build_in_child", build)


def scored(engine, token_ids=TOKENS):
    return np.concatenate([np.array(block) for block in engine.score(token_ids)])


def followed(engine, n_steps):
    """Return tokens and logits where each token is the likeliest one."""
    rows = [np.array(engine.prefill(TOKENS, len(TOKENS) + n_steps))]
    while len(rows) <= n_steps:
        rows.append(np.array(engine.decode(int(rows[-1].argmax()))))
    return [int(row.argmax()) for row in rows], rows


def test_fp32_predicts_what_transformers_does_and_says_what_it_is(tiny_llama):
    model_dir = tiny_llama.directory
    engine, info = loaded(CTranslate2Fp32, model_dir)
    expected = log_probabilities(model_dir)
    assert divergence(expected[4:], decoded(engine, 5)) < 1e-6
    engine.prefill([7] * 200, 250)  # another text, which is left half-way
    assert divergence(expected, scored(engine)) < 1e-6
    text, rows = followed(engine, 6)
    assert divergence(log_probabilities(model_dir, (*TOKENS, *text[:-1]))[len(TOKENS) - 1 :], rows) < 1e-6
    assert info.facts["computes in"] == "float32"
    assert info.facts["KV-cache"] == "K FP32, V FP32"
    assert info.facts["instruction sets"].endswith(" (chosen at run time)")
    assert "unknown" not in info.facts["instruction sets"] + info.facts["products"]
    assert info.facts["runtime"] == f"ctranslate2 {version('ctranslate2')}"
    assert info.kv_cache.bytes_per_token == 2 * 2 * 2 * 16 * 4  # K and V, layers, KV heads, width, bytes
    # Tied: the head is read whole, and with it all that is stored.
    assert info.weight_bytes == pytest.approx(4 * info.parameters, rel=0.01)
    assert not CTranslate2Fp32().prepare(model_dir, lambda *_: None)
    engine.close()


@pytest.mark.usefixtures("converts_here")
def test_int8_predicts_the_same_of_a_text_as_step_by_step(tiny_llama):
    engine, info = loaded(CTranslate2Int8, tiny_llama.directory)
    expected = log_probabilities(tiny_llama.directory)
    assert 0 < divergence(expected, scored(engine)) < 0.3  # 0.002 where MKL multiplies, 0.14 with oneDNN on AVX2
    stepped = decoded(engine, 1)
    assert np.abs(scored(engine) - stepped).max() < 1e-4
    assert info.weight_bytes == pytest.approx(info.parameters, rel=0.1)
    assert info.facts["computes in"] == "int8_float32"
    engine.close()


@pytest.mark.usefixtures("converts_here")
def test_what_it_picks_is_followed_and_never_what_is_banned(tiny_llama):
    engine, _ = loaded(CTranslate2Fp32, tiny_llama.directory)
    began = []
    generate = engine._generator.generate_batch
    engine._generator = type("Counted", (), {"generate_batch": lambda **call: began.append(1) or generate(**call)})
    free, _ = followed(engine, 6)
    assert len(began) == 1
    tell_sampling(engine, Sampling(), {free[0], free[3]})
    text, rows = followed(engine, 6)
    assert len(began) == 2
    assert not {free[0], free[3]} & set(text)
    assert all(row[free[0]] == row.min() for row in rows)
    with pytest.raises(UnsupportedModelError, match="leave the temperature at 0"):
        tell_sampling(engine, Sampling(temperature=0.5), ())
    engine.close()


@pytest.mark.usefixtures("converts_here")
@pytest.mark.parametrize("model_type", ["gpt2", "qwen2", "qwen3"])
def test_other_families(model_type, tmp_path):
    save_folder(model_type, tmp_path / model_type)
    engine, _ = loaded(CTranslate2Fp32, tmp_path / model_type)
    assert divergence(log_probabilities(tmp_path / model_type)[4:], decoded(engine, 5)) < 1e-6
    engine.close()


@pytest.mark.usefixtures("converts_here")
def test_a_table_of_which_a_token_takes_a_row_is_not_read(tmp_path):
    model_dir = changed_llama(tmp_path / "llama", {"tie_word_embeddings": False})
    engine, info = loaded(CTranslate2Fp32, model_dir)
    assert divergence(log_probabilities(model_dir)[4:], decoded(engine, 5)) < 1e-6
    assert info.weight_bytes == pytest.approx(4 * (info.parameters - 384 * 64), rel=0.01)
    engine.close()


@pytest.mark.usefixtures("converts_here")
def test_a_scaling_that_the_converter_drops_is_caught(tmp_path):
    model_dir = changed_llama(tmp_path / "llama", {"rope_parameters": LLAMA3})
    keep_reference(model_dir)
    engine, _ = loaded(CTranslate2Fp32, model_dir)
    with pytest.raises(WrongModelError, match="does not compute this model"):
        SelfCheck(engine, model_dir).run()
    engine.close()
    with pytest.raises(UnsupportedModelError, match="not seen to be right for a llama3 rotary embedding"):
        CTranslate2Int8().prepare(model_dir, lambda *_: None)


@pytest.mark.usefixtures("converts_here")
def test_a_window_that_the_converter_drops_is_refused_where_weights_are_rounded(tmp_path):
    save_folder("qwen2 (sliding window)", tmp_path / "qwen2")
    with pytest.raises(UnsupportedModelError, match="drops the attention window"):
        CTranslate2Int8().prepare(tmp_path / "qwen2", lambda *_: None)


@pytest.mark.usefixtures("converts_here")
def test_a_text_has_to_fit_into_a_window(tmp_path):
    """Of a Mistral's prompt that is longer than that it would compute something else."""
    save_folder("mistral", tmp_path / "mistral")
    engine, info = loaded(CTranslate2Fp32, tmp_path / "mistral")
    assert info.context_window == 16
    assert divergence(log_probabilities(tmp_path / "mistral")[4:], decoded(engine, 5)) < 1e-6


@pytest.mark.usefixtures("converts_here")
def test_a_theta_that_is_not_the_usual_one_is_kept(tmp_path):
    model_dir = changed_llama(tmp_path / "llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}})
    keep_reference(model_dir)
    engine, _ = loaded(CTranslate2Fp32, model_dir)
    assert "within" in SelfCheck(engine, model_dir).run()["checked"]
    engine.close()


@pytest.mark.usefixtures("converts_here")
def test_what_is_not_converted_says_so(tmp_path):
    model_dir = changed_llama(tmp_path / "yarn", {"rope_parameters": YARN})
    with pytest.raises(UnsupportedModelError, match=r"converter refuses it: .*yarn"):
        CTranslate2Fp32().prepare(model_dir, lambda *_: None)
    save_folder("granite", tmp_path / "granite")
    with pytest.raises(UnsupportedModelError, match="not seen to be right for the architecture 'granite'"):
        CTranslate2Int8().prepare(tmp_path / "granite", lambda *_: None)


def test_what_is_tested_here_is_what_the_managed_environment_gets():
    assert f"ctranslate2=={version('ctranslate2')}" in RUNTIMES["ctranslate2"].packages
