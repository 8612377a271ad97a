"""The module that is traced holds no weights, and each is read from the files as transformers would load it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from tests.multimodal import save_multimodal
from tests.tiny_onnx_models import MAKERS
from tuibench.engines.decoder.in_transformers import text_part_options
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.ort.export.unloaded import module_to_trace
from tuibench.models.folder import read_config

SAVED = {
    **{kind: MAKERS[kind] for kind in ("gpt2", "llama", "gemma4-told-again")},
    **{kind: MAKERS[kind] for kind in ("gpt-oss", "granite-moe", "mixtral-window", "olmoe", "qwen3-moe")},
    **{f"part of {kind}": partial(save_multimodal, kind) for kind in ("gemma3", "gemma4", "mistral3", "llava")},
}


@pytest.mark.parametrize("kind", SAVED)
def test_every_weight_and_buffer_is_that_of_the_loaded_model(kind, tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM

    folder = SAVED[kind](tmp_path / "model")
    decoder, text_part = read_decoder(folder), text_part_options(read_config(folder, "model"))
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **text_part)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("it was loaded whole"))
    module, read = module_to_trace(folder, decoder)
    expected = dict(loaded.named_parameters())
    assert dict(module.named_parameters()).keys() == expected.keys()
    for name, parameter in expected.items():
        assert np.array_equal(read(name), parameter.detach().numpy()), name
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, loaded.get_buffer(name)), name
