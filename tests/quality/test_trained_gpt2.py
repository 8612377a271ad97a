"""Quality on trained weights of the other family: our figures against transformers and torch's own divergence."""

from functools import cache

import numpy as np
import pytest
import torch

from tests.engines.ort.generation import loaded
from tests.trained_gpt2 import FOLDER
from tests.trained_gpt2.train import HELD_OUT, byte_tokenizer, configuration
from tuibench.engines.ort.recipes import CALIBRATION_TEXT
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.quality.scoring import score_text
from tuibench.quality.windows import windows_of

LIMITS = {
    "kv-cache": 1e-6,
    "onnx-fused": 1e-6,
    "fused-fp32": 1e-6,
    "kv-cache-bf16": 1e-3,
    "int8-dynamic": 1e-3,
    "fused-int8": 1e-3,
    "int8-torch": 0.02,
    "int8-static": 0.02,
    "int4-onnx": 0.1,
    "fused-int4": 0.1,
}
"""Nats per byte that are far more than each method's rounding, and far less than another model."""


@pytest.fixture(scope="module")
def windows():
    token_ids = PromptTokenizer(FOLDER).encode(shipped_text().text[:1100], raw=True)
    return windows_of(token_ids, opening=(), context_window=512)


@cache
def expected_logits(tokens):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(torch.tensor([tokens])).logits[0]


class FromTransformers:
    """What `score_text` asks of a reference."""

    def __init__(self, windows):
        rows = [expected_logits(tokens)[windows.first : windows.length - 1] for tokens in windows.tokens]
        self._rows = torch.cat(rows).numpy()

    def logits(self, start, end):
        return self._rows[start:end].copy()


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("method", LIMITS)
def test_figures_are_those_of_transformers_and_torch(method, windows):
    engine, _ = loaded(method, FOLDER)
    found = [np.concatenate([block.copy() for block in engine.score(tokens)]) for tokens in windows.tokens]
    figures = score_text(lambda tokens: iter([found[windows.tokens.index(tokens)].copy()]), windows,
                         FromTransformers(windows), lambda *_: None)  # fmt: skip
    span = slice(windows.first, windows.length - 1)
    ours = torch.cat([torch.from_numpy(each)[span] for each in found]).double().log_softmax(-1)
    theirs = torch.cat([expected_logits(tokens)[span] for tokens in windows.tokens]).double().log_softmax(-1)
    kld = torch.nn.functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1).mean()
    assert figures.kld_mean == pytest.approx(float(kld), rel=1e-3, abs=1e-7)
    assert abs(figures.kld_mean) < LIMITS[method]
    targets = torch.cat([torch.tensor(tokens[windows.first + 1 :]) for tokens in windows.tokens])
    assert figures.perplexity == pytest.approx(float(torch.nn.functional.nll_loss(ours, targets).exp()), rel=1e-4)
    exact = float(torch.nn.functional.nll_loss(theirs, targets).exp())
    assert figures.perplexity == pytest.approx(exact, rel=1e-4 if LIMITS[method] == 1e-6 else 0.1)
    assert figures.top1 == pytest.approx(float((ours.argmax(-1) == theirs.argmax(-1)).double().mean()))
    if LIMITS[method] == 1e-6:
        assert figures.top1 == 1
    else:
        assert figures.kld_mean > 1e-7


def test_the_weights_are_trained():
    """The end of the text, which it never saw, byte by byte: guessing gives 257, how frequent letters are about 20."""
    text = CALIBRATION_TEXT.read_text(encoding="utf-8")
    held_out = byte_tokenizer().encode(text).ids[-int(len(text) * HELD_OUT) :][:512]
    loss = torch.nn.functional.cross_entropy(expected_logits(tuple(held_out))[:-1], torch.tensor(held_out[1:]))
    assert loss.exp() < 15


def test_the_folder_is_what_the_recipe_makes():
    from transformers import AutoConfig, AutoTokenizer

    text = shipped_text().text[:300]
    stored = AutoTokenizer.from_pretrained(FOLDER)
    assert stored(text).input_ids == byte_tokenizer().encode(text).ids
    made = configuration().to_dict()
    config = AutoConfig.from_pretrained(FOLDER).to_dict()
    keys = ("n_embd", "n_layer", "n_head", "n_positions", "vocab_size", "resid_pdrop")
    assert {key: config[key] for key in keys} == {key: made[key] for key in keys}
