"""Others' runtimes read a prompt behind tokens that their KV-caches hold, and go back to these where they can."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.runtimes.peers import TOKENS, divergence, loaded, log_probabilities
from tuibench.engines.base import ContinuingEngine, ExtendingEngine
from tuibench.engines.runtimes.genai.engine import GenaiFp32
from tuibench.engines.runtimes.llama_cpp.engine import LlamaCppF16
from tuibench.engines.runtimes.openvino.engine import OpenVinoFp32

DEPTH = 4


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


def rows_behind(engine, prompt):
    return [np.array(engine.extend(prompt[:-1])), np.array(engine.decode(prompt[-1]))]


@pytest.mark.parametrize(
    ("engine_class", "most", "goes_back"),
    [(LlamaCppF16, 1e-4, True), (GenaiFp32, 1e-6, True), (OpenVinoFp32, 1e-9, False)],
)
def test_a_prompt_behind_others_has_the_predictions_of_the_whole_text(engine_class, most, goes_back, tiny_llama):
    engine, _ = loaded(engine_class, tiny_llama.directory)
    assert isinstance(engine, ExtendingEngine)
    expected = log_probabilities(tiny_llama.directory)
    engine.prefill(TOKENS[:DEPTH], len(TOKENS))
    assert divergence(expected[-2:], rows_behind(engine, TOKENS[DEPTH:])) < most
    assert isinstance(engine, ContinuingEngine) == goes_back
    if goes_back:
        other = (*TOKENS[:DEPTH], *TOKENS[:1:-1])
        assert engine.keep(DEPTH, len(other))
        expected = log_probabilities(tiny_llama.directory, other)
        assert divergence(expected[-2:], rows_behind(engine, other[DEPTH:])) < most
        assert not engine.keep(DEPTH, 2000)  # there is no room for so many
    engine.close()
