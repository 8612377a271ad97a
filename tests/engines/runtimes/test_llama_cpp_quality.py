"""How far Q8_0 is from the model: our figures against what llama.cpp's own server tells and scipy makes of it."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from tests.engines.runtimes.peers import log_probabilities
from tests.llama_server import llama_server, write_llama
from tuibench.engines.runtimes.llama_cpp.engine import LlamaCppQ8
from tuibench.engines.torch.eager import KvCache
from tuibench.models.folder import weight_files
from tuibench.models.references import reference_recipe
from tuibench.quality.reference import ReferenceMaker, open_reference
from tuibench.quality.scoring import score_text
from tuibench.quality.windows import windows_of

VOCABULARY, ASCII_TOKEN = 384, 10
TOKENS = [int(token) for token in np.random.default_rng(5).integers(3, VOCABULARY, 128)]


def told_by_server(address, token_ids):
    """Return the logarithms of all probabilities of what follows, as the server works them out."""
    asked = {"prompt": token_ids, "n_predict": 1, "n_probs": VOCABULARY, "cache_prompt": False}
    # What it picks must be text by itself, else it tells nothing; the probabilities are those of before the bias.
    asked["logit_bias"] = [[ASCII_TOKEN, 1000.0]]
    server = HTTPConnection(urlsplit(address).netloc, timeout=60)
    server.request("POST", "/completion", json.dumps(asked), {"Content-Type": "application/json"})
    (step,) = json.load(server.getresponse())["completion_probabilities"]
    server.close()
    found = np.empty(VOCABULARY)
    for each in step["top_logprobs"]:
        found[each["id"]] = each["logprob"]
    assert len(step["top_logprobs"]) == VOCABULARY
    return found


def figures(model, path, windows):
    """Return what a run would show of a GGUF file of the model."""

    class OnThisFile(LlamaCppQ8):
        def _path(self, _):
            return path

    exact = KvCache()
    exact.load(model.directory, 1, lambda *_: None)
    weights = weight_files(model.directory, model.name)
    maker = ReferenceMaker(
        windows=windows, weights=weights, score=exact.score, head_inputs=exact.head_inputs, progress=lambda *_: None
    )
    reference = maker.make(reference_recipe(model.directory, "text"), model.name)
    engine = OnThisFile()
    engine.load(model.directory, 1, lambda *_: None)
    found = score_text(engine.score, windows, open_reference(reference, weights, windows), lambda *_: None)
    engine.close()
    return found


def test_the_divergence_is_what_scipy_makes_of_the_probabilities_that_llama_cpps_server_tells(
    tiny_llama, tmp_path, monkeypatch
):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    path = write_llama(tiny_llama.directory, tmp_path / "q8_0.gguf", "Q8_0")
    windows = windows_of(TOKENS, opening=(), context_window=256)
    (window,) = windows.tokens
    counted = range(windows.first, windows.length - 1)
    with llama_server(path, cache="f16") as address:
        theirs = np.stack([told_by_server(address, list(window[: place + 1])) for place in counted])
    exact = np.exp(log_probabilities(tiny_llama.directory, window)[counted])
    klds = rel_entr(exact, softmax(theirs, axis=1)).sum(axis=1)
    found = figures(tiny_llama, path, windows)
    assert found.n_scored == len(klds)
    assert found.kld_mean == pytest.approx(klds.mean(), rel=1e-5)  # the server tells its numbers in six digits
