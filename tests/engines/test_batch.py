"""Sequences that share their steps give the tokens that each gives alone."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tuibench.engines.base import BatchEngine
from tuibench.methods import engine_class

LENGTHS = (9, 30, 4, 17, 12, 25, 7, 21)
N_NEW = 70
"""More than the columns that a batch has to spare, so that its rows move."""


def no_progress(label, done, total):
    pass


def prompts(n):
    return [[int(token) for token in np.random.default_rng(n).integers(3, 380, n)] for n in LENGTHS[:n]]


@pytest.fixture(scope="module", params=["tiny_llama", "tiny_gpt2"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def expected(model):
    """What transformers generates for each prompt alone, and the logits of each step."""
    reference = AutoModelForCausalLM.from_pretrained(model.directory).eval()
    found = []
    for prompt in prompts(8):
        with torch.inference_mode():
            made = reference.generate(
                torch.tensor([prompt]), max_new_tokens=N_NEW, min_new_tokens=N_NEW, do_sample=False,
                output_logits=True, return_dict_in_generate=True,
            )  # fmt: skip
        found.append((made.sequences[0, len(prompt) :].tolist(), torch.cat(made.logits).numpy()))
    return found


@pytest.fixture(scope="module", params=["kv-cache", "onnx-fused", "fused-fp32"])
def engine(request, model):
    engine = engine_class(request.param)()
    engine.prepare(model.directory, no_progress)
    engine.load(model.directory, 2, no_progress)
    assert isinstance(engine, BatchEngine)
    assert engine.why_alone is None
    yield engine
    engine.close()


def follow(engine, expected, n, arrivals):
    """Generate what is expected, sequences coming at the given steps; return the largest difference of a logit."""
    engine.begin_batch(n, max(map(len, prompts(n))) + N_NEW)
    n_made, worst = dict.fromkeys(range(n), 0), 0.0
    for step in range(max(arrivals) + N_NEW):
        for sequence in range(n):
            if arrivals[sequence] == step:
                logits = engine.read_sequence(sequence, prompts(n)[sequence])
                worst = max(worst, np.abs(logits - expected[sequence][1][0]).max())
                n_made[sequence] = 1
        active = [sequence for sequence in range(n) if 0 < n_made[sequence] < N_NEW]
        if not active:
            continue
        logits = engine.decode_batch(active, [expected[each][0][n_made[each] - 1] for each in active])
        for row, sequence in zip(logits, active, strict=True):
            worst = max(worst, np.abs(row - expected[sequence][1][n_made[sequence]]).max())
            n_made[sequence] += 1
    assert set(n_made.values()) == {N_NEW}
    return worst


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_together_from_the_beginning(engine, expected, n):
    assert follow(engine, expected, n, [0] * n) < 1e-3


def test_some_come_later_and_others_leave(engine, expected):
    assert follow(engine, expected, 4, [0, 20, 45, 60]) < 1e-3


def test_one_between_others_sits_out_and_loses_nothing(engine, expected):
    engine.begin_batch(3, 60)
    for sequence in range(3):
        engine.read_sequence(sequence, prompts(3)[sequence])
    for step in range(4):
        engine.decode_batch([0, 2], [expected[0][0][step], expected[2][0][step]])
    logits = engine.decode_batch([1], [expected[1][0][0]])
    np.testing.assert_allclose(logits[0], expected[1][1][1], atol=1e-3)
    logits = engine.decode_batch([0, 1, 2], [expected[0][0][4], expected[1][0][1], expected[2][0][4]])
    np.testing.assert_allclose(logits, [expected[0][1][5], expected[1][1][2], expected[2][1][5]], atol=1e-3)


def test_what_stands_before_a_prompt_is_read_first(engine, expected):
    engine.begin_batch(2, 40)
    parts = [(prompt[: len(prompt) // 2], prompt[len(prompt) // 2 :]) for prompt in prompts(2)]
    for sequence, (before, _) in enumerate(parts):
        engine.read_sequence(sequence, before)
    for sequence, (_, rest) in enumerate(parts):
        logits = engine.read_sequence(sequence, rest)
        np.testing.assert_allclose(logits, expected[sequence][1][0], atol=1e-3)


@pytest.mark.usefixtures("warm_cache")
def test_rounding_is_of_each_sequence_by_itself(tiny_llama):
    """One scale for the activations of all in a step would let each change what is predicted for the others."""
    engine = engine_class("int8-dynamic")()
    engine.prepare(tiny_llama.directory, no_progress)
    engine.load(tiny_llama.directory, 2, no_progress)
    assert isinstance(engine, BatchEngine)
    assert engine.why_alone is None
    n_steps, texts = 4, [[*prompt, *range(20, 24)] for prompt in prompts(3)]
    alone = []
    for text in texts:
        alone.append([engine.prefill(text[:-n_steps], len(text)).copy()])
        alone[-1] += [engine.decode(token_id).copy() for token_id in text[-n_steps:]]
    engine.begin_batch(3, max(map(len, texts)))
    together = [[engine.read_sequence(each, text[:-n_steps]).copy()] for each, text in enumerate(texts)]
    for step in range(-n_steps, 0):
        for own, row in zip(together, engine.decode_batch(range(3), [text[step] for text in texts]), strict=True):
            own.append(row.copy())
    engine.close()
    np.testing.assert_allclose(together, alone, atol=1e-4)
