"""The fused engine against transformers, over every variation of the two families that it claims to run."""

import numpy as np
import pytest

from tests.tiny_onnx_models import MAKERS
from tuibench.engines.fused.engine import FusedFp32, FusedInt4, FusedInt8
from tuibench.engines.torch_eager import KvCache

TOKENS = [int(token) for token in np.random.default_rng(1).integers(3, 380, 40)]
FP32_TOLERANCE = 1e-5  # of the largest logit: sums in another order
QUANTISED_CORRELATION = {"int8": 0.999, "int4": 0.9}


def no_progress(label, done, total):
    pass


@pytest.fixture(scope="module", params=sorted(MAKERS))
def model_dir(request, tmp_path_factory):
    return MAKERS[request.param](tmp_path_factory.mktemp("models") / request.param)


def logits_of(engine, model_dir, n_threads, n_prompt):
    engine.load(model_dir, n_threads, no_progress)
    found = [engine.prefill(TOKENS[:n_prompt], len(TOKENS)).copy()]
    found += [engine.decode(token).copy() for token in TOKENS[n_prompt:]]
    engine.close()
    return np.stack(found)


@pytest.mark.parametrize(("n_prompt", "n_threads"), [(1, 1), (1, 2), (17, 2), (39, 1)])
def test_fp32_logits_are_those_of_transformers(model_dir, n_prompt, n_threads):
    expected = logits_of(KvCache(), model_dir, 1, n_prompt)
    found = logits_of(FusedFp32(), model_dir, n_threads, n_prompt)
    np.testing.assert_allclose(found, expected, rtol=0, atol=FP32_TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("engine_class", [FusedInt8, FusedInt4])
def test_quantised_logits_follow_fp32(model_dir, engine_class):
    expected = logits_of(FusedFp32(), model_dir, 2, 20)
    found = logits_of(engine_class(), model_dir, 2, 20)
    correlations = [np.corrcoef(left, right)[0, 1] for left, right in zip(found, expected, strict=True)]
    # Random weights are the worst case for four bits: no redundancy hides the rounding.
    assert np.mean(correlations) > QUANTISED_CORRELATION[engine_class.method.precision]


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
def test_prefill_and_decode_agree(model_dir, engine_class):
    at_once = logits_of(engine_class(), model_dir, 2, len(TOKENS))[-1]
    one_by_one = logits_of(engine_class(), model_dir, 2, 1)[-1]
    np.testing.assert_allclose(at_once, one_by_one, rtol=0, atol=5e-3 * np.abs(at_once).max())


def test_a_second_prompt_forgets_the_first(model_dir):
    engine = FusedFp32()
    engine.load(model_dir, 2, no_progress)
    fresh = engine.prefill(TOKENS[:5], 8).copy()
    engine.prefill(TOKENS[7:30], len(TOKENS))
    engine.decode(3)
    np.testing.assert_array_equal(engine.prefill(TOKENS[:5], len(TOKENS)), fresh)
    engine.close()
