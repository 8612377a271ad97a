"""The correctness gate: every FP32 method is the same model."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.ort.generation import PROMPTS, greedy, opened
from tests.tiny_onnx_models import MAKERS

N_TOKENS = 24
TOLERANCE = 2e-4
EXPORTED = (
    *("gpt2", "llama", "mistral-window", "qwen2-two-windows", "qwen3"),
    *(
        "arcee",
        "ernie",
        "exaone4-two-windows",
        "gemma",
        "gemma2-caps",
        "gemma3-two-rotations",
        "granite",
        "hunyuan",
        "ministral-two-windows",
        "olmo2",
        "olmo3-two-rotations",
        "phi3-longrope",
        "phi3-partly-rotated",
        "seed-oss",
        "smollm3-two-windows",
    ),
    *("stablelm", "starcoder2-window"),
    *("gpt-oss", "olmoe"),
)


@pytest.fixture(scope="module")
def reference(tiny_model):
    found = {}

    def make(kind):
        if kind not in found:
            engine, _, _ = opened("kv-cache", tiny_model(kind))
            found[kind] = [greedy(engine, prompt, N_TOKENS) for prompt in PROMPTS]
        return found[kind]

    return make


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("kind", MAKERS)
def test_fused_graph_gives_the_tokens_of_pytorch(kind, tiny_model, reference):
    engine, _, _ = opened("onnx-fused", tiny_model(kind))
    for prompt, (tokens, logits) in zip(PROMPTS, reference(kind), strict=True):
        found, found_logits = greedy(engine, prompt, N_TOKENS)
        assert found == tokens
        np.testing.assert_allclose(found_logits, logits, atol=TOLERANCE)


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("kind", EXPORTED)
def test_exported_graph_gives_the_tokens_of_pytorch(kind, tiny_model, reference):
    engine, _, _ = opened("onnx", tiny_model(kind))
    for prompt, (tokens, logits) in zip(PROMPTS, reference(kind), strict=True):
        found, found_logits = greedy(engine, prompt, N_TOKENS)
        assert found == tokens
        np.testing.assert_allclose(found_logits, logits, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_recomputing_everything_gives_the_same_tokens(kind, tiny_model, reference):
    engine, _, _ = opened("baseline", tiny_model(kind))
    for prompt, (tokens, _) in zip(PROMPTS, reference(kind), strict=True):
        assert greedy(engine, prompt, N_TOKENS)[0] == tokens


@pytest.mark.usefixtures("warm_cache")
def test_prefill_forgets_the_earlier_generation(tiny_model, reference):
    engine, _, _ = opened("onnx-fused", tiny_model("llama"))
    long_prompt, short_prompt = PROMPTS[2], PROMPTS[1]
    greedy(engine, long_prompt, N_TOKENS)
    assert greedy(engine, short_prompt, N_TOKENS)[0] == reference("llama")[1][0]


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.real_model
def test_fused_graph_of_the_default_model_gives_the_logits_of_pytorch(real_model):
    prompt = list(range(1000, 1064))
    torch_engine, _, _ = opened("kv-cache", real_model.directory)
    expected = torch_engine.prefill(prompt, len(prompt) + 1).copy()
    engine, _, _ = opened("onnx-fused", real_model.directory)
    np.testing.assert_allclose(engine.prefill(prompt, len(prompt) + 1), expected, atol=2e-3)
    token = int(expected.argmax())
    np.testing.assert_allclose(engine.decode(token), torch_engine.decode(token), atol=2e-3)
