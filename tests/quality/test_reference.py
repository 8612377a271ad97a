"""A reference gives back what the model predicts, however it is kept."""

import numpy as np
import pytest
import torch

from tuibench.core.run.events import QualityFigures
from tuibench.engines.torch.eager import Baseline, KvCache
from tuibench.models.folder import weight_files
from tuibench.models.references import has_reference, reference_recipe
from tuibench.quality.divergence import log_softmax
from tuibench.quality.reference import ReferenceMaker, StaleReferenceError, open_reference
from tuibench.quality.scoring import score_text
from tuibench.quality.windows import windows_of

TOKENS = [int(token) for token in np.random.default_rng(5).integers(3, 384, 600)]


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def model(request, tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path))
    return request.getfixturevalue(request.param)


def loaded(engine_class, model):
    engine = engine_class()
    engine.load(model.directory, 1, lambda *_: None)
    return engine


def ignore(done, total):
    pass


def made(model, engine, *, from_head, windows):
    maker = ReferenceMaker(
        windows=windows,
        weights=weight_files(model.directory, model.name),
        score=engine.score,
        head_inputs=engine.head_inputs if from_head else None,
        progress=ignore,
    )
    return maker.make(reference_recipe(model.directory, "text"), model.name)


@pytest.fixture
def windows():
    return windows_of(TOKENS, opening=(), context_window=256)


@pytest.mark.parametrize(("from_head", "tolerance"), [(True, 1e-4), (False, 3e-4)], ids=["from-head", "16-bit"])
def test_a_reference_is_the_models_own_log_probabilities(model, windows, from_head, tolerance):
    engine = loaded(KvCache, model)
    assert not has_reference(model.directory, "text")
    artifact = made(model, engine, from_head=from_head, windows=windows)
    assert has_reference(model.directory, "text")
    assert not has_reference(model.directory, "text", 1024)
    assert (artifact.directory / "levels.npy").exists() is not from_head
    reference = open_reference(artifact, weight_files(model.directory, model.name), windows)
    second = np.concatenate([block.copy() for block in engine.score(windows.tokens[1])])
    expected = log_softmax(second[windows.first : windows.length - 1])
    found = log_softmax(reference.logits(windows.n_per_window, 2 * windows.n_per_window))
    near = expected > expected.max(axis=1, keepdims=True) - 15.9  # beyond, 16 bits say nothing
    np.testing.assert_allclose(found[near], expected[near], atol=tolerance)


def test_a_reference_from_the_head_is_much_smaller(model, windows):
    engine = loaded(KvCache, model)
    small = made(model, engine, from_head=True, windows=windows).disk_bytes
    assert small < windows.n_scored * 64 * 4 + 10_000  # hidden size 64


@pytest.mark.parametrize("from_head", [True, False])
@pytest.mark.parametrize("engine_class", [Baseline, KvCache])
def test_an_fp32_method_does_not_diverge(model, windows, engine_class, from_head):
    artifact = made(model, loaded(KvCache, model), from_head=from_head, windows=windows)
    reference = open_reference(artifact, weight_files(model.directory, model.name), windows)
    figures = score_text(loaded(engine_class, model).score, windows, reference, ignore)
    assert figures.n_scored == windows.n_scored == 254
    assert abs(figures.kld_mean) < 1e-6
    assert figures.top1 == 1 or (not from_head and figures.top1 > 0.98)
    assert figures.delta_p_rms < 1e-3


def test_a_head_that_the_logits_do_not_come_from_is_not_used(model, windows):
    engine = loaded(KvCache, model)
    maker = ReferenceMaker(
        windows=windows,
        weights=weight_files(model.directory, model.name),
        score=lambda tokens: (np.tanh(block) * 30 for block in engine.score(tokens)),
        head_inputs=engine.head_inputs,
        progress=ignore,
    )
    artifact = maker.make(reference_recipe(model.directory, "capped"), model.name)
    assert (artifact.directory / "levels.npy").exists()


@pytest.mark.parametrize("from_head", [True, False])
def test_tokens_that_model_and_method_rule_out_do_not_count(model, windows, from_head):
    """A vocabulary of which the model masks a part; no product with a head gives that."""
    engine = loaded(KvCache, model)

    def masked(tokens):
        for block in engine.score(tokens):
            block[:, :3] = -np.inf  # no text here has them
            yield block

    maker = ReferenceMaker(
        windows=windows,
        weights=weight_files(model.directory, model.name),
        score=masked,
        head_inputs=engine.head_inputs if from_head else None,
        progress=ignore,
    )
    artifact = maker.make(reference_recipe(model.directory, "masked"), model.name)
    reference = open_reference(artifact, weight_files(model.directory, model.name), windows)
    assert abs(score_text(masked, windows, reference, ignore).kld_mean) < 1e-6


def test_a_perturbed_model_diverges(model, windows):
    engine = loaded(KvCache, model)
    artifact = made(model, engine, from_head=True, windows=windows)
    reference = open_reference(artifact, weight_files(model.directory, model.name), windows)
    head = engine._model.get_output_embeddings().weight
    head.data += 0.05 * head.data.std() * torch.randn(head.shape, generator=torch.Generator().manual_seed(0))
    figures = score_text(engine.score, windows, reference, ignore)
    assert isinstance(figures, QualityFigures)
    assert figures.kld_mean > 1e-4


def test_a_reference_of_other_tokens_is_refused(model, windows):
    artifact = made(model, loaded(KvCache, model), from_head=True, windows=windows)
    others = windows_of(TOKENS[1:], opening=(), context_window=256)
    with pytest.raises(StaleReferenceError, match="models rm"):
        open_reference(artifact, weight_files(model.directory, model.name), others)


def test_an_engine_that_scores_too_little_is_told(model, windows):
    engine = loaded(KvCache, model)
    artifact = made(model, engine, from_head=True, windows=windows)
    reference = open_reference(artifact, weight_files(model.directory, model.name), windows)
    with pytest.raises(RuntimeError, match="128 of 256"):
        score_text(lambda tokens: iter([next(engine.score(tokens))]), windows, reference, ignore)
