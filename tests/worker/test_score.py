"""What of a text is scored where a method takes shorter texts than the model."""

import pytest

from tuibench.core.run.events import FailureKind, QualityMeasured
from tuibench.core.run.spec import QualityRequest
from tuibench.engines.torch.eager import KvCache
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.score import WindowTooLongError, score
from tuibench.worker.serve import explain

TEXT = "A text is read in windows, and each of them is scored by all methods alike. " * 20


def test_a_method_that_takes_shorter_texts_than_windows_are_says_so(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    engine, tokenizer, told = KvCache(), PromptTokenizer(tiny_llama.directory), []
    known = QualityRequest(text=TEXT, make_reference=False)
    engine.load(tiny_llama.directory, 1, lambda *_: None)
    score(engine, tokenizer, tiny_llama.directory, 256, QualityRequest(text=TEXT, make_reference=True), told.append)
    score(engine, tokenizer, tiny_llama.directory, 256, known, told.append)
    assert sum(isinstance(event, QualityMeasured) for event in told) == 2
    with pytest.raises(WindowTooLongError, match="windows longer than 40 tokens") as caught:
        score(engine, tokenizer, tiny_llama.directory, 40, known, told.append)
    assert explain(caught.value)[0] is FailureKind.BAD_INPUT
