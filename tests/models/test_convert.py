from __future__ import annotations

import pytest

from tests.gguf_files import decoder_keys, gguf_tensors, write_gguf
from tuibench.models.cache import cached_models
from tuibench.models.local import ModelError
from tuibench.models.origin.pull import pull_model
from tuibench.models.origin.sources import find_model
from tuibench.models.text.tokenizer import PromptTokenizer


@pytest.fixture
def written(tiny_llama, tmp_path, monkeypatch):
    """Writes the tiny Llama as a GGUF file."""
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    model = AutoModelForCausalLM.from_pretrained(tiny_llama.directory)
    keys = decoder_keys(model.config) | {"rope.freq_base": 10000.0, "rope.dimension_count": 16}

    def write(architecture="llama", **more):
        return write_gguf(tmp_path / "tiny.Q0.gguf", architecture, keys, gguf_tensors(model, "llama"), **more)

    return write


def test_gguf_file_becomes_the_same_model(written, tiny_llama):
    import torch
    from safetensors.torch import load_file

    gguf_file = written()
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


def test_cut_off_gguf_file_leaves_nothing(written):
    gguf_file = written()
    gguf_file.write_bytes(gguf_file.read_bytes()[:-100_000])
    with pytest.raises(ModelError, match=r"tiny\.Q0\.gguf: it cannot be converted: the tensor \S+ lies outside"):
        pull_model(str(gguf_file))
    assert cached_models() == []
    assert gguf_file.exists()


def test_llama_that_is_labelled_gpt_oss_is_refused_in_one_line(written):
    with pytest.raises(ModelError) as refused:
        pull_model(str(written("gpt-oss")))
    assert str(refused.value).endswith(
        "cannot be had from tiny.Q0.gguf: it cannot be converted: it lacks gpt-oss.expert_feed_forward_length, "
        "which its architecture needs; use the model as a safetensors folder"
    )
