"""Reading a prompt behind tokens that the KV-cache holds already is reading all of them."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tuibench.engines.base import ExtendingEngine
from tuibench.methods import engine_class

DEPTH, PROMPT = 21, 13
TOKENS = [int(token) for token in np.random.default_rng(3).integers(3, 380, DEPTH + PROMPT + 1)]


def no_progress(label, done, total):
    pass


@pytest.fixture(scope="module")
def expected(tiny_llama):
    """The logits behind the prompt and behind one token more, by transformers without a cache."""
    model = AutoModelForCausalLM.from_pretrained(tiny_llama.directory).eval()
    with torch.inference_mode():
        return model(torch.tensor([TOKENS]), use_cache=False).logits[0, -2:].numpy()


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        ("baseline", 2e-4), ("kv-cache", 2e-4), ("kv-cache-lookup", 2e-4), ("onnx", 2e-4), ("onnx-fused", 2e-4),
        ("fused-fp32", 2e-4), ("fused-int8-lookup", 0.5),
    ],
)  # fmt: skip
def test_a_prompt_behind_others_has_the_logits_of_the_whole_text(method, tolerance, tiny_llama, expected):
    engine = engine_class(method)()
    engine.prepare(tiny_llama.directory, no_progress)
    engine.load(tiny_llama.directory, 2, no_progress)
    assert isinstance(engine, ExtendingEngine)
    engine.prefill(TOKENS[:DEPTH], len(TOKENS))
    behind_prompt = engine.extend(TOKENS[DEPTH:-1]).copy()
    behind_next = engine.decode(TOKENS[-1]).copy()
    engine.close()
    np.testing.assert_allclose(behind_prompt, expected[0], atol=tolerance)
    np.testing.assert_allclose(behind_next, expected[1], atol=tolerance)
