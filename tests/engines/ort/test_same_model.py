"""The correctness gate: every FP32 method is the same model."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.ort.generation import PROMPTS, greedy, loaded
from tests.tiny_onnx_models import MAKERS

N_TOKENS = 24
TOLERANCE = 2e-4
ONE_LAYER = {"num_hidden_layers": 1}
ONE_OF_EACH = {"num_hidden_layers": 2}
LISTED = ONE_OF_EACH | {"layer_types": ["sliding_attention", "full_attention"]}
EXPORTED = {
    "gpt2": {},
    "llama": {},
    **dict.fromkeys(
        (
            *("arcee", "ernie", "gemma", "granite", "hunyuan", "mistral-window", "olmo2", "olmoe", "phi3-longrope"),
            *("phi3-partly-rotated", "qwen3", "seed-oss", "stablelm", "starcoder2-window"),
        ),
        ONE_LAYER,
    ),
    **dict.fromkeys(("exaone4-two-windows", "gemma2-caps", "gpt-oss", "qwen2-two-windows"), ONE_OF_EACH),
    **dict.fromkeys(
        ("gemma3-two-rotations", "gemma4-keys-as-values", "ministral-two-windows", "olmo3-two-rotations"), LISTED
    ),
    "smollm3-two-windows": ONE_OF_EACH | {"no_rope_layers": [1, 0]},
    "gemma4-told-again": {},
}
"""How they differ from the tiny models: PyTorch traces layers one after the other, so of each kind there is one."""


@pytest.fixture(scope="module")
def reference(tiny_model):
    found = {}

    def make(kind, **sizes):
        key = (kind, repr(sizes))
        if key not in found:
            engine, _ = loaded("kv-cache", tiny_model(kind, **sizes))
            found[key] = [greedy(engine, prompt, N_TOKENS) for prompt in PROMPTS]
        return found[key]

    return make


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("kind", MAKERS)
def test_fused_graph_gives_the_tokens_of_pytorch(kind, tiny_model, reference):
    engine, _ = loaded("onnx-fused", tiny_model(kind))
    for prompt, (tokens, logits) in zip(PROMPTS, reference(kind), strict=True):
        found, found_logits = greedy(engine, prompt, N_TOKENS)
        assert found == tokens
        np.testing.assert_allclose(found_logits, logits, atol=TOLERANCE)


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize(("kind", "sizes"), EXPORTED.items(), ids=EXPORTED)
def test_exported_graph_gives_the_tokens_of_pytorch(kind, sizes, tiny_model, reference):
    engine, _ = loaded("onnx", tiny_model(kind, **sizes))
    for prompt, (tokens, logits) in zip(PROMPTS, reference(kind, **sizes), strict=True):
        found, found_logits = greedy(engine, prompt, N_TOKENS)
        assert found == tokens
        np.testing.assert_allclose(found_logits, logits, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_recomputing_everything_gives_the_same_tokens(kind, tiny_model, reference):
    engine, _ = loaded("baseline", tiny_model(kind))
    for prompt, (tokens, _) in zip(PROMPTS, reference(kind), strict=True):
        assert greedy(engine, prompt, N_TOKENS)[0] == tokens


@pytest.mark.usefixtures("warm_cache")
def test_prefill_forgets_the_earlier_generation(tiny_model, reference):
    engine, _ = loaded("onnx-fused", tiny_model("llama"))
    long_prompt, short_prompt = PROMPTS[2], PROMPTS[1]
    greedy(engine, long_prompt, N_TOKENS)
    assert greedy(engine, short_prompt, N_TOKENS)[0] == reference("llama")[1][0]


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.real_model
def test_fused_graph_of_the_default_model_gives_the_logits_of_pytorch(real_model):
    prompt = list(range(1000, 1064))
    torch_engine, _ = loaded("kv-cache", real_model.directory)
    expected = torch_engine.prefill(prompt, len(prompt) + 1).copy()
    engine, _ = loaded("onnx-fused", real_model.directory)
    np.testing.assert_allclose(engine.prefill(prompt, len(prompt) + 1), expected, atol=2e-3)
    token = int(expected.argmax())
    np.testing.assert_allclose(engine.decode(token), torch_engine.decode(token), atol=2e-3)
