import json

import numpy as np
import pytest
import torch

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.torch.eager import SCORED_TOKENS, Baseline, KvCache


def no_progress(label, done, total):
    pass


def loaded(engine_class, model):
    engine = engine_class()
    info = engine.load(model.directory, 1, no_progress)
    return engine, info


def greedy(engine, prompt, n_tokens):
    logits = engine.prefill(prompt, len(prompt) + n_tokens)
    tokens = []
    for _ in range(n_tokens):
        tokens.append(int(logits.argmax()))
        logits = engine.decode(tokens[-1])
    return tokens


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def tiny_model(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("prompt", [[1], [5, 6, 7], list(range(3, 40))], ids=["one", "few", "many"])
def test_both_methods_write_what_transformers_generate_writes(tiny_model, prompt):
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(tiny_model.directory, dtype=torch.float32)
    reference.generation_config.eos_token_id = None
    expected = reference.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt)),
        max_new_tokens=12,
        do_sample=False,
        pad_token_id=0,
    )[0, len(prompt) :].tolist()
    assert greedy(loaded(Baseline, tiny_model)[0], prompt, 12) == expected
    assert greedy(loaded(KvCache, tiny_model)[0], prompt, 12) == expected


def test_logits_of_both_methods_agree_at_every_step(tiny_model):
    baseline, cached = loaded(Baseline, tiny_model)[0], loaded(KvCache, tiny_model)[0]
    prompt = [3, 4, 5]
    ours, theirs = cached.prefill(prompt, 20), baseline.prefill(prompt, 20)
    for token in range(10, 20):
        assert ours.shape == (tiny_vocabulary(tiny_model),)
        assert abs(ours - theirs).max() < 1e-4
        ours, theirs = cached.decode(token), baseline.decode(token)


def test_scores_of_both_methods_are_the_logits_of_decoding(tiny_model):
    tokens = [int(token) for token in np.random.default_rng(3).integers(3, 384, SCORED_TOKENS + 7)]
    cached = loaded(KvCache, tiny_model)[0]
    decoded = [cached.prefill(tokens[:1], len(tokens)).copy()]
    decoded += [cached.decode(token).copy() for token in tokens[1:]]
    for engine_class in (Baseline, KvCache):
        scored = np.concatenate([block.copy() for block in loaded(engine_class, tiny_model)[0].score(tokens)])
        np.testing.assert_allclose(scored, np.stack(decoded), atol=2e-4)


def test_head_inputs_times_the_head_are_the_scores(tiny_model):
    tokens = [int(token) for token in np.random.default_rng(3).integers(3, 384, SCORED_TOKENS + 7)]
    engine = loaded(KvCache, tiny_model)[0]
    head = engine._model.get_output_embeddings().weight.detach().numpy()
    inputs = np.concatenate([block.copy() for block in engine.head_inputs(tokens)])
    scored = np.concatenate([block.copy() for block in engine.score(tokens)])
    np.testing.assert_allclose(inputs @ head.T, scored, atol=2e-4)


def tiny_vocabulary(model):
    return json.loads((model.directory / "config.json").read_text())["vocab_size"]


def test_prefill_forgets_the_earlier_generation(tiny_model):
    engine, _ = loaded(KvCache, tiny_model)
    first = greedy(engine, [4, 5, 6], 6)
    greedy(engine, [9, 9, 9, 9], 3)
    assert greedy(engine, [4, 5, 6], 6) == first


def test_weight_bytes_leave_out_tables_that_are_only_looked_up(tiny_llama, tiny_gpt2):
    _, llama = loaded(KvCache, tiny_llama)
    _, gpt2 = loaded(KvCache, tiny_gpt2)
    assert llama.weight_bytes == 4 * llama.parameters  # tied: the embedding is the head
    assert gpt2.weight_bytes < 4 * gpt2.parameters  # positions are looked up
    assert llama.artifact_bytes == tiny_llama.directory.joinpath("model.safetensors").stat().st_size


def test_an_encoder_decoder_is_refused_before_its_weights_are_read(tmp_path):
    from transformers import T5Config

    T5Config(d_model=8, num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="encoder-decoder"):
        Baseline().load(tmp_path, 1, no_progress)


def test_sliding_window_layers_keep_their_own_cache(tmp_path):
    """Mistral-style windows: only plain attention layers get the preallocated cache."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=6, max_position_embeddings=64, head_dim=8,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path)
    engines = [Baseline(), KvCache()]
    for engine in engines:
        engine.load(tmp_path, 1, no_progress)
    baseline, cached = (greedy(engine, [1, 2, 3, 4], 16) for engine in engines)
    assert baseline == cached


def test_shortened_dispatch_leaves_logits_exactly_alone_and_modules_with_hooks_as_they_are(tiny_model):
    from transformers import AutoModelForCausalLM

    from tuibench.engines.torch.dispatch import shorten_dispatch

    model = AutoModelForCausalLM.from_pretrained(tiny_model.directory, dtype=torch.float32).eval()
    ids = torch.tensor([[3, 4, 5]])
    calls = []
    hooked = model.get_output_embeddings()
    hooked.register_forward_hook(lambda *_: calls.append("called"))
    with torch.inference_mode():
        before = model(ids).logits
        shorten_dispatch(model)
        after = model(ids).logits
    assert torch.equal(before, after)
    assert calls == ["called"] * 2
    assert isinstance(model.get_input_embeddings(), torch.nn.Embedding)
