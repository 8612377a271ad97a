"""The fused engine against transformers, over every variation of the two families that it claims to run."""

import numpy as np
import pytest

from tests.engines.stored_weights import stored_weights
from tests.tiny_onnx_models import MAKERS, WITHOUT_KERNELS
from tuibench.engines.decoder.rereading import RereadingSteps
from tuibench.engines.fused.engine import FusedFp32, FusedInt4, FusedInt8
from tuibench.engines.fused.packing import Fp32Writer
from tuibench.engines.fused.session import FusedSession
from tuibench.engines.torch.eager import KvCache

TOKENS = [int(token) for token in np.random.default_rng(1).integers(3, 380, 40)]
FP32_TOLERANCE = 1e-5  # of the largest logit: sums in another order


def no_progress(label, done, total):
    pass


@pytest.fixture(scope="module", params=sorted(MAKERS.keys() - WITHOUT_KERNELS))
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


def with_expanded_weights(session):
    """Return a session that computes in FP32 with the weights that rounding left of another's."""
    model, shape = session.model, session.model.shape
    widths = {"attention_out": shape.n_heads * shape.head_dim, "mlp_down": shape.intermediate}
    heights = {
        "qkv": shape.qkv_rows,
        "mlp_up": (2 if shape.gated else 1) * shape.intermediate,
        "head": session.decoder.vocabulary,
    }
    matrices = {}
    for name in ("qkv", "attention_out", "mlp_up", "mlp_down", "head"):
        size = heights.get(name, shape.hidden), widths.get(name, shape.hidden)
        weights = stored_weights(getattr(model, name), *size)
        writer = Fp32Writer(len(weights), *size)
        for layer, matrix in enumerate(weights):
            writer.put(layer, matrix)
        matrices[name] = writer.stack()
    return FusedSession(session.decoder, model._replace(**matrices), session._embedding, 1)


@pytest.mark.parametrize("engine_class", [FusedInt8, FusedInt4])
def test_quantised_logits_are_those_of_the_rounded_weights(model_dir, engine_class):
    """Whatever quantisation costs is in the weights and in INT8 keys and values; those of the reference are FP32."""
    engine = engine_class()
    engine.load(model_dir, 2, no_progress)
    expanded = with_expanded_weights(engine._session)
    rereads = isinstance(engine._steps, RereadingSteps)
    reference = RereadingSteps(expanded, engine._steps._switch) if rereads else expanded
    found = [engine.prefill(TOKENS[:20], len(TOKENS)).copy()] + [engine.decode(t).copy() for t in TOKENS[20:]]
    expected = [reference.prefill(TOKENS[:20], len(TOKENS)).copy()] + [reference.decode(t).copy() for t in TOKENS[20:]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-2 * np.abs(expected).max())
    engine.close()
    expanded.close()


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


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
def test_a_scored_text_has_the_logits_of_decoding(model_dir, engine_class):
    text = TOKENS + TOKENS[:35]  # two blocks, the second one not of whole tiles
    engine = engine_class()
    engine.load(model_dir, 2, no_progress)
    one_by_one = [engine.prefill(text[:1], len(text)).copy()] + [engine.decode(token).copy() for token in text[1:]]
    scored = np.concatenate([block.copy() for block in engine.score(text)])
    engine.close()
    # Sums in another order, which may round an activation of the quantised methods to the next of 2^15 steps, and so
    # one key or value in a few hundred to the next of 2^8.
    tolerance = FP32_TOLERANCE if engine_class is FusedFp32 else 1e-2
    np.testing.assert_allclose(scored, one_by_one, rtol=0, atol=tolerance * np.abs(scored).max())


def test_a_prompt_can_follow_a_scored_text(model_dir):
    engine = FusedInt8()
    engine.load(model_dir, 2, no_progress)
    fresh = engine.prefill(TOKENS[:5], 8).copy()
    next(engine.score(TOKENS))
    np.testing.assert_array_equal(engine.prefill(TOKENS[:5], 8), fresh)
    engine.close()
