"""One short window of the shipped text through the real model, in FP32 and in INT8."""

import pytest

from tuibench.core.run.events import PhaseProgressed, QualityMeasured
from tuibench.core.run.spec import QualityRequest
from tuibench.engines.torch.eager import KvCache
from tuibench.engines.torch.int8 import Int8Torch
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.worker.score import score


def scored(engine_class, model, text):
    engine = engine_class()
    info = engine.load(model.directory, 2, lambda *_: None)
    tokenizer = PromptTokenizer(model.directory)
    request = QualityRequest(text=text, make_reference=engine_class is KvCache)
    events = []
    score(engine, tokenizer, model.directory, info.context_window, request, events.append)
    assert any(isinstance(event, PhaseProgressed) for event in events)
    return next(event for event in events if isinstance(event, QualityMeasured))


@pytest.mark.real_model
def test_int8_is_near_fp32_and_fp32_is_itself(real_model):
    text = " ".join(shipped_text().text.split()[:120])
    exact, rounded = scored(KvCache, real_model, text), scored(Int8Torch, real_model, text)
    assert abs(exact.figures.kld_mean) < 1e-6
    assert exact.figures.top1 == 1
    assert 5 < exact.figures.perplexity < 500
    assert 1e-4 < rounded.figures.kld_mean < 0.5
    assert rounded.figures.top1 < 1
    assert exact.reference_bytes == rounded.reference_bytes < 1_000_000
