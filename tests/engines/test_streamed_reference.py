"""The reference of a model whose weights stay in its files, and what a session says of it."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.trained_gpt2 import FOLDER
from tuibench.core.run.events import QualityMeasured
from tuibench.core.run.spec import LoadRequest, QualityRequest
from tuibench.engines.torch.streamed import StreamedKvCache
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.quality.windows import windows_of
from tuibench.worker.score import score
from tuibench.worker.serve import _engine

TEXT = "It was a bright cold day, and the clocks of the town were all of them striking at once. " * 3


@pytest.fixture(scope="module")
def engine():
    load = LoadRequest(protocol=1, method="kv-cache", model_dir=str(FOLDER), n_threads=1, streamed=True)
    made = _engine(load)
    assert isinstance(made, StreamedKvCache)
    made.load(FOLDER, 1, lambda *_: None)
    return made


def test_weights_stay_in_the_file_and_predictions_are_those_of_the_whole_model_in_fp32(engine):
    weights = list(engine._model.parameters())
    assert all(each.device.type == "meta" for each in weights)
    token_ids = PromptTokenizer(FOLDER).encode(TEXT, raw=True)
    with torch.inference_mode():
        whole = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
        expected = whole(torch.tensor([token_ids])).logits[0].numpy()
    found = np.concatenate([block.copy() for block in engine.score(token_ids)])
    assert abs(found - expected).max() < 1e-4
    assert all(each.device.type == "meta" for each in weights)


def test_what_is_scored_against_it_says_so(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    events = []
    request = QualityRequest(text=TEXT, make_reference=True)
    score(engine, PromptTokenizer(FOLDER), FOLDER, 512, request, events.append)
    (measured,) = (event for event in events if isinstance(event, QualityMeasured))
    assert measured.reference == "FP32 activations; weights as the file stores them, read layer by layer"
    assert measured.figures.top1 == 1
    assert windows_of(range(len(TEXT)), opening=(), context_window=512).n_scored == measured.figures.n_scored
