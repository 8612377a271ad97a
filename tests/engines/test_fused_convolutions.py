"""Short convolutions in the kernels (LFM2) against transformers: kernels of any width, with biases and without."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.engines.ort.generation import divergence, forced, transformers_logits
from tests.tiny_onnx_models import MAKERS, _save_llama_like
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.lookup import Policy
from tuibench.methods import engine_class

TEXT = [int(token) for token in np.random.default_rng(3).integers(3, 384, 60)]
TOLERANCE = 1e-5  # of the largest logit
KINDS = ("biased", "published")


def save(kind, directory):
    """Save a model with biases, or one that is like the published ones but for channels that fill no last panel."""
    if kind == "biased":
        return MAKERS["lfm2-convolutions"](directory)
    return _save_llama_like(
        directory,
        "lfm2",
        hidden_size=72,
        num_hidden_layers=5,
        layer_types=["conv", "conv", "full_attention", "conv", "full_attention"],
        block_multiple_of=32,
        conv_L_cache=3,
        conv_bias=False,
    )


@pytest.fixture(scope="module", params=KINDS)
def model_dir(request, tmp_path_factory):
    return save(request.param, tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def expected(model_dir):
    return transformers_logits(model_dir, TEXT)


@pytest.fixture
def engine_of(model_dir):
    """Return a method that is loaded and will be closed."""
    opened = []

    def load(method, n_threads=2):
        engine = engine_class(method)()
        opened.append(engine)
        engine.load(model_dir, n_threads, lambda *_: None)
        return engine

    yield load
    for engine in opened:
        engine.close()


def check(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_prompt_and_what_follows_it_have_the_logits_of_transformers(engine_of, expected, n_threads):
    """Also where it is shorter than the kernel is wide, and where a worker has no token, or begins within a kernel."""
    engine = engine_of("fused-fp32", n_threads)
    for n_prompt in (1, 2, 3, 5, 33, 59):
        found = [engine.prefill(TEXT[:n_prompt], 60).copy()]
        found += [engine.decode(token).copy() for token in TEXT[n_prompt:]]
        check(found, expected[n_prompt - 1 :])


def test_greedy_tokens_are_those_that_transformers_generates(engine_of, model_dir):
    reference = AutoModelForCausalLM.from_pretrained(model_dir).eval()
    engine = engine_of("fused-fp32")
    for prompt in (TEXT[:1], TEXT[:2], TEXT[:40]):
        with torch.inference_mode():
            made = reference.generate(torch.tensor([prompt]), max_new_tokens=20, min_new_tokens=20, do_sample=False)
        logits, found = engine.prefill(prompt, len(prompt) + 20), []
        for _ in range(20):
            found.append(int(logits.argmax()))
            logits = engine.decode(found[-1])
        assert found == made[0, len(prompt) :].tolist()


@pytest.mark.parametrize("n_kept", [1, 2, 20])
@pytest.mark.parametrize("n_read", [1, 3, 11, 30])
def test_a_text_goes_on_from_what_is_kept_of_another(engine_of, expected, n_kept, n_read):
    """In steps, or as a prompt behind others; the rows that follow what is kept are those of other tokens before."""
    engine = engine_of("fused-fp32")
    engine.prefill([*TEXT[:n_kept], *range(100, 130)], 80)
    for token in (7, 8, 7, 8):
        engine.decode(token)
    assert engine.keep(n_kept, 80)
    end = n_kept + n_read
    check(engine.extend(TEXT[n_kept:end]), expected[end - 1])
    check(engine.decode(TEXT[end]), expected[end])


def test_guesses_that_were_wrong_leave_no_trace(engine_of, expected):
    session = engine_of("fused-fp32")._session
    session.prefill(TEXT[:9], 60)
    start = 9
    for n_right, n_wrong in ((1, 7), (2, 3), (5, 1), (1, 2), (3, 5)):
        logits = session.append([*TEXT[start : start + n_right], *range(200, 200 + n_wrong)])
        check(logits[:n_right], expected[start : start + n_right])
        session.rollback(n_wrong)
        start += n_right
    check(session.decode(TEXT[start]), expected[start])


def test_sequences_of_other_lengths_share_a_step(engine_of, expected):
    engine = engine_of("fused-fp32")
    for lengths in ((10, 2, 31), (1, 40, 3, 22, 5)):
        engine.begin_batch(len(lengths), 60)
        for sequence, length in enumerate(lengths):
            check(engine.read_sequence(sequence, TEXT[:length]), expected[length - 1])
        for step in range(6):
            active = [s for s in range(len(lengths)) if s != 1 or step > 2]
            places = [lengths[s] + (step - 3 if s == 1 else step) for s in active]
            check(engine.decode_batch(active, [TEXT[place] for place in places]), expected[places])


def test_a_scored_text_has_the_logits_of_transformers(engine_of, expected):
    check(np.concatenate([block.copy() for block in engine_of("fused-fp32").score(TEXT)]), expected)


@pytest.mark.parametrize(("method", "most"), [("fused-int8", 0.01), ("fused-int4", 0.6)])
def test_rounded_products_stay_near(engine_of, expected, method, most):
    assert 0 < divergence(expected, forced(engine_of(method), TEXT)) < most


def test_looking_up_gives_the_logits_of_decoding(engine_of, monkeypatch):
    monkeypatch.setattr(Policy, "n_guesses", lambda _self, most: most)  # whatever steps take on this machine
    text = TEXT[:12] * 2  # so that guesses are made: right ones first, then wrong ones
    runs = []
    for method in ("fused-int8", "fused-int8-lookup"):
        engine = engine_of(method)
        found = [engine.prefill(text, 80).copy()]
        found += [engine.decode(token).copy() for token in [*TEXT[:12], *TEXT[20:40]]]
        runs.append(found)
    np.testing.assert_array_equal(runs[1], runs[0])
    assert 0 < engine.guesses.n_accepted < engine.guesses.n_guessed


def test_what_a_token_reads_of_the_cache_is_a_few_rows_of_fp32(model_dir):
    decoder = read_decoder(model_dir)
    hidden, n_heads = decoder.hidden, len(decoder.attentions)
    for method, value_bytes in (("fused-fp32", 4 * decoder.head_dim), ("fused-int8", decoder.head_dim + 4)):
        engine = engine_class(method)()
        info = engine.load(model_dir, 1, lambda *_: None)
        engine.close()
        assert info.kv_cache.bytes_per_token == 2 * decoder.n_kv_heads * value_bytes * n_heads
        widths = [each.width for each in decoder.convolving.values()]
        assert info.kv_cache.fixed_bytes == 4 * hidden * sum(width - 1 for width in widths)
