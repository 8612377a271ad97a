"""Frequencies that change with the length: each step against a pass of a fresh model over the same tokens."""

import numpy as np
import pytest
import torch

from tuibench.engines.torch.eager import Baseline, KvCache
from tuibench.engines.torch.lookup import KvCacheLookup

ORIGINAL = 16
SMALL = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.3,
}  # fmt: skip


def longrope():
    from transformers import Phi3Config, Phi3ForCausalLM

    factors = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 4.0, 9.0, 16.0]}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": ORIGINAL, **factors}
    return Phi3ForCausalLM(
        Phi3Config(**SMALL, max_position_embeddings=64, original_max_position_embeddings=ORIGINAL, rope_parameters=rope)
    )


def dynamic():
    from transformers import LlamaConfig, LlamaForCausalLM

    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    return LlamaForCausalLM(LlamaConfig(**SMALL, max_position_embeddings=ORIGINAL, rope_parameters=rope))


@pytest.fixture(params=[longrope, dynamic])
def folder(request, tmp_path):
    torch.manual_seed(0)
    request.param().save_pretrained(tmp_path)
    return tmp_path


TEXT = [int(token) for token in np.random.default_rng(5).integers(3, 96, 2 * ORIGINAL)]


def fresh_predictions(folder):
    """What a model that has seen nothing else predicts after each of the tokens."""
    from transformers import AutoModelForCausalLM

    rows = []
    for end in range(1, len(TEXT) + 1):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.inference_mode():
            rows.append(model(torch.tensor([TEXT[:end]]), use_cache=False).logits[0, -1].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("engine_class", [Baseline, KvCache, KvCacheLookup])
def test_decoding_beyond_the_original_window_is_what_a_fresh_pass_predicts(folder, engine_class):
    expected = fresh_predictions(folder)
    engine = engine_class()
    engine.load(folder, 1, lambda *_: None)
    for n_prompt in (ORIGINAL - 4, ORIGINAL + 3, ORIGINAL, 3):  # after a longer text, too
        found = [engine.prefill(TEXT[:n_prompt], len(TEXT)).copy()]
        found += [engine.decode(token).copy() for token in TEXT[n_prompt:]]
        np.testing.assert_allclose(np.stack(found), expected[n_prompt - 1 :], atol=1e-4)


@pytest.mark.parametrize("engine_class", [Baseline, KvCache])
def test_scores_beyond_the_original_window_are_those_of_decoding(folder, engine_class):
    engine = engine_class()
    engine.load(folder, 1, lambda *_: None)
    scored = np.concatenate([block.copy() for block in engine.score(TEXT)])
    np.testing.assert_allclose(scored, fresh_predictions(folder), atol=1e-4)


def test_several_guessed_tokens_across_the_switch_come_out_one_by_one(folder):
    engine = KvCacheLookup()
    engine.load(folder, 1, lambda *_: None)
    engine.prefill(TEXT[: ORIGINAL - 2], len(TEXT))
    expected = fresh_predictions(folder)[ORIGINAL - 2 : ORIGINAL + 3]
    np.testing.assert_allclose(engine.append(TEXT[ORIGINAL - 2 : ORIGINAL + 3]), expected, atol=1e-4)
    engine.rollback(4)
    np.testing.assert_allclose(engine.append(TEXT[ORIGINAL - 1 : ORIGINAL]), expected[1:2], atol=1e-4)
