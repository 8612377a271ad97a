"""The gate on real engines: FP32 methods pass, a model whose weights were touched does not."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
import torch

from tuibench.core.results.same_model import MOST_KLD, same_model
from tuibench.core.run.record import QualityRecord
from tuibench.engines.torch.eager import Baseline, KvCache
from tuibench.models.folder import weight_files
from tuibench.models.references import reference_recipe
from tuibench.quality.reference import ReferenceMaker, open_reference
from tuibench.quality.scoring import score_text
from tuibench.quality.windows import windows_of

WINDOWS = windows_of(
    [int(token) for token in np.random.default_rng(5).integers(3, 384, 600)], opening=(), context_window=256
)


def loaded(engine_class, model):
    engine = engine_class()
    engine.load(model.directory, 1, lambda *_: None)
    return engine


def record(figures):
    return QualityRecord(
        method="m",
        eval_name="text",
        eval_sha256="0",
        finished=datetime(2026, 11, 24, tzinfo=UTC),
        **msgspec.structs.asdict(figures),
    )


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def model(request, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    return request.getfixturevalue(request.param)


@pytest.fixture
def reference(model):
    engine = loaded(KvCache, model)
    weights = weight_files(model.directory, model.name)
    maker = ReferenceMaker(WINDOWS, weights, engine.score, engine.head_inputs, lambda *_: None)
    return open_reference(maker.make(reference_recipe(model.directory, "text"), model.name), weights, WINDOWS)


def judged(engine, reference):
    return same_model([], [], record(score_text(engine.score, WINDOWS, reference, lambda *_: None)))


@pytest.mark.parametrize("engine_class", [Baseline, KvCache])
def test_fp32_methods_are_the_same_model(model, reference, engine_class):
    assert judged(loaded(engine_class, model), reference).same is True


def test_a_model_with_one_touched_matrix_is_another_one(model, reference):
    engine = loaded(KvCache, model)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        matrix = next(
            parameter for name, parameter in engine._model.named_parameters() if parameter.dim() == 2 and "mlp" in name
        )
        matrix += 0.05 * matrix.std() * torch.randn(matrix.shape, generator=noise)
    result = judged(engine, reference)
    assert result.same is False
    assert f"at most {MOST_KLD:.0e}" in result.reason
