"""The fused engine against transformers, over every variation of the families that it claims to run."""

import json
import shutil

import numpy as np
import pytest

from tests.engines.stored_weights import stored_weights
from tests.tiny_onnx_models import MAKERS
from tuibench.engines.decoder.rereading import RereadingSteps
from tuibench.engines.fused.engine import FusedFp32, FusedInt4, FusedInt8
from tuibench.engines.fused.matrices import Absent, used_parts
from tuibench.engines.fused.packing import PACKINGS
from tuibench.engines.fused.session import FusedSession
from tuibench.engines.fused.weights import stack_sizes
from tuibench.engines.torch.eager import KvCache

TOKENS = [int(token) for token in np.random.default_rng(1).integers(3, 380, 40)]
FP32_TOLERANCE = 1e-5  # of the largest logit: sums in another order
ROUNDED_TOLERANCE = 6e-2  # of the same: keys and values in INT8, activations in INT16; most where scores have no factor
WITH_EXPERTS = ("gpt-oss", "granite-moe", "mixtral-window", "olmoe", "qwen3-moe")


def no_progress(label, done, total):
    pass


@pytest.fixture(scope="module", params=sorted(MAKERS))
def model_dir(request, tmp_path_factory):
    return MAKERS[request.param](tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def steady_model_dir(model_dir):
    """A model without jumps: of one with experts, the same where every token goes to all of them.

    Rounding picks the other one of two experts that a router holds almost equal, and the result is another then.
    """
    config = json.loads((model_dir / "config.json").read_text())
    if "num_experts_per_tok" not in config:
        return model_dir
    steady = shutil.copytree(model_dir, model_dir.with_name(f"{model_dir.name}-to-all"))
    config["num_experts_per_tok"] = config.get("num_experts") or config["num_local_experts"]
    (steady / "config.json").write_text(json.dumps(config))
    return steady


@pytest.fixture(scope="module")
def engine_of(model_dir):  # noqa: ARG001 - engines of the model before are closed
    """Return an engine that is loaded once for all tests of a model."""
    opened = {}

    def load(engine_class, directory, n_threads=2):
        key = engine_class, directory, n_threads
        if key not in opened:
            opened[key] = loaded(*key)
        return opened[key]

    yield load
    for engine in opened.values():
        engine.close()


@pytest.fixture(scope="module")
def expected(model_dir):
    """The logits of PyTorch after each token."""
    return logits_of(loaded(KvCache, model_dir, 1), 1)


def loaded(engine_class, directory, n_threads):
    engine = engine_class()
    engine.load(directory, n_threads, no_progress)
    return engine


def logits_of(engine, n_prompt):
    """Return the logits after a prompt, and after each token that follows."""
    found = [engine.prefill(TOKENS[:n_prompt], len(TOKENS)).copy()]
    found += [engine.decode(token).copy() for token in TOKENS[n_prompt:]]
    return np.stack(found)


@pytest.mark.parametrize(("n_prompt", "n_threads"), [(1, 1), (1, 2), (17, 2), (39, 1)])
def test_fp32_logits_are_those_of_transformers(model_dir, expected, engine_of, n_prompt, n_threads):
    found = logits_of(engine_of(FusedFp32, model_dir, n_threads), n_prompt)
    tolerance = FP32_TOLERANCE * np.abs(expected[n_prompt - 1 :]).max()
    np.testing.assert_allclose(found, expected[n_prompt - 1 :], rtol=0, atol=tolerance)


def with_expanded_weights(session):
    """Return a session that computes in FP32 with the weights that rounding left of another's."""
    model, matrices = session.model, {}
    for name, (n_matrices, *size) in stack_sizes(session.decoder).items():  # of experts all, one after the other
        if isinstance(getattr(model, name), Absent):
            continue
        if n_matrices == 0:
            matrices[name] = PACKINGS["fp32"].empty(0, *size)
            continue
        weights = stored_weights(getattr(model, name), *size)
        matrices[name] = PACKINGS["fp32"].empty(n_matrices, *size)
        for layer, matrix in enumerate(weights):
            parts = used_parts(PACKINGS["fp32"].pack(matrix), 0)
            for (_, place), (_, content) in zip(used_parts(matrices[name], layer), parts, strict=True):
                place[:] = content
    return FusedSession(session.decoder, model._replace(**matrices), session._embedding, 1)


def rounding_errors(engine):
    """Return the greatest error of each position's logits, as a part of the largest logit.

    Whatever quantisation costs is in the weights and in INT8 keys and values; those of the reference are FP32.
    """
    expanded = with_expanded_weights(engine._session)
    rereads = isinstance(engine._steps, RereadingSteps)
    reference = RereadingSteps(expanded, engine._steps._switch) if rereads else expanded
    found, expected = logits_of(engine, 20), logits_of(reference, 20)
    expanded.close()
    return np.abs(found - expected).max(axis=1) / np.abs(expected).max()


@pytest.mark.parametrize("engine_class", [FusedInt8, FusedInt4])
def test_quantised_logits_are_those_of_the_rounded_weights(steady_model_dir, engine_of, engine_class):
    assert rounding_errors(engine_of(engine_class, steady_model_dir)).max() <= ROUNDED_TOLERANCE


@pytest.mark.parametrize("engine_class", [FusedInt8, FusedInt4])
@pytest.mark.parametrize("model_dir", WITH_EXPERTS, indirect=True)
def test_most_quantised_logits_are_those_of_the_rounded_weights_where_experts_are_picked(
    model_dir, engine_of, engine_class
):
    assert np.median(rounding_errors(engine_of(engine_class, model_dir))) <= ROUNDED_TOLERANCE


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
def test_prefill_and_decode_agree(steady_model_dir, engine_of, engine_class):
    engine = engine_of(engine_class, steady_model_dir)
    at_once, one_by_one = logits_of(engine, len(TOKENS))[-1], logits_of(engine, 1)[-1]
    tolerance = 1e-2 if engine_class is FusedInt4 else 5e-3  # where it is expanded, prompts round no activation
    np.testing.assert_allclose(at_once, one_by_one, rtol=0, atol=tolerance * np.abs(at_once).max())


def test_a_second_prompt_forgets_the_first(model_dir):
    engine = loaded(FusedFp32, model_dir, 2)
    fresh = engine.prefill(TOKENS[:5], 8).copy()
    engine.prefill(TOKENS[7:30], len(TOKENS))
    engine.decode(3)
    np.testing.assert_array_equal(engine.prefill(TOKENS[:5], len(TOKENS)), fresh)
    engine.close()


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
def test_a_scored_text_has_the_logits_of_decoding(steady_model_dir, engine_of, engine_class):
    text = TOKENS + TOKENS[:35]  # two blocks, the second one not of whole tiles
    engine = engine_of(engine_class, steady_model_dir)
    one_by_one = [engine.prefill(text[:1], len(text)).copy()] + [engine.decode(token).copy() for token in text[1:]]
    scored = np.concatenate([block.copy() for block in engine.score(text)])
    # Sums in another order, which may round an activation of the quantised methods to the next of 2^15 steps, and so
    # one key or value in a few hundred to the next of 2^8. INT4 that is expanded for blocks rounds no activation
    # there, which moves a few more of them.
    tolerance = {FusedFp32: FP32_TOLERANCE, FusedInt8: 1e-2, FusedInt4: 3e-2}[engine_class]
    np.testing.assert_allclose(scored, one_by_one, rtol=0, atol=tolerance * np.abs(scored).max())


def test_a_prompt_can_follow_a_scored_text(model_dir, engine_of):
    engine = engine_of(FusedInt8, model_dir)
    before = engine.prefill(TOKENS[:5], 8).copy()
    next(engine.score(TOKENS))
    np.testing.assert_array_equal(engine.prefill(TOKENS[:5], 8), before)


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
def test_a_prompt_behind_others_has_the_logits_of_the_whole_text(model_dir, engine_of, engine_class):
    """As the prompt's kernels take it, whole blocks of queries and a few more, seen from any depth."""
    text = TOKENS + TOKENS[:20]
    engine = engine_of(engine_class, model_dir)
    whole = [engine.prefill(text[:-1], len(text)).copy(), engine.decode(text[-1]).copy()]
    for depth in (1, 13, 24):
        engine.prefill(text[:depth], len(text))
        found = [engine.extend(text[depth:-1]).copy(), engine.decode(text[-1]).copy()]
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("engine_class", [FusedFp32, FusedInt8, FusedInt4])
def test_sequences_that_share_steps_have_the_bits_of_each_alone(model_dir, engine_of, engine_class):
    """Of lengths of their own; some come when others are under way, some sit out, some have left by then."""
    engine = engine_of(engine_class, model_dir)
    if isinstance(engine._steps, RereadingSteps):
        assert "by its length" in engine.why_alone
        return
    assert engine.why_alone is None
    n_steps, lengths = 6, (9, 30, 4, 17, 1, 25, 12, 21)
    texts = [[*TOKENS[-n:], *TOKENS[n % 7 : n % 7 + n_steps]] for n in lengths]
    alone = []
    for text, n in zip(texts, lengths, strict=True):
        alone.append([engine.prefill(text[:n], len(text)).copy()] + [engine.decode(each).copy() for each in text[n:]])
    for n_sequences in (2, 4, 8):
        engine.begin_batch(n_sequences, max(map(len, texts)))
        made = [0] * n_sequences
        for turn in range(3 * n_steps):
            for sequence in range(n_sequences):
                if turn == sequence % 3:
                    logits = engine.read_sequence(sequence, texts[sequence][: lengths[sequence]])
                    np.testing.assert_array_equal(logits, alone[sequence][0])
                    made[sequence] = 1
            active = [s for s in range(n_sequences) if 0 < made[s] <= n_steps and (turn + s) % 4]
            if active:
                tokens = [texts[s][lengths[s] + made[s] - 1] for s in active]
                expected = [alone[s][made[s]] for s in active]
                np.testing.assert_array_equal(engine.decode_batch(active, tokens), expected)
            for sequence in active:
                made[sequence] += 1
        assert made == [n_steps + 1] * n_sequences
