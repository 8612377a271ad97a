"""Short convolutions in a graph (LFM2): their cache forgets, is shared by sequences, and their products are rounded."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.ort.generation import divergence, forced, loaded, transformers_logits
from tuibench.engines.decoder.read import read_decoder

KIND = "lfm2-convolutions"
TEXT = [int(token) for token in np.random.default_rng(3).integers(3, 384, 60)]

pytestmark = pytest.mark.usefixtures("warm_cache")


@pytest.fixture(scope="module")
def expected(tiny_model):
    return transformers_logits(tiny_model(KIND), TEXT)


def test_a_text_goes_on_from_what_is_kept_of_another(tiny_model, expected):
    engine, info = loaded("onnx-fused", tiny_model(KIND))
    engine.prefill([*TEXT[:20], 9, 9, 9], 80)
    for token in (7, 8, 7, 8):
        engine.decode(token)
    assert engine.keep(20, 80)
    np.testing.assert_allclose(engine.extend(TEXT[20:30]), expected[29], atol=2e-4)
    np.testing.assert_allclose(engine.decode(TEXT[30]), expected[30], atol=2e-4)
    decoder = read_decoder(tiny_model(KIND))
    assert info.kv_cache.bytes_per_token == 4 * (2 * 2 * 16 + 3 * 64)
    assert [len(shape) for shape in decoder.cache_shapes(1, 64).values()] == [4, 4, 3, 3, 3]


def test_sequences_of_other_lengths_share_a_step(tiny_model, expected):
    engine, _ = loaded("onnx-fused", tiny_model(KIND))
    engine.begin_batch(3, 60)
    for sequence, length in enumerate((10, 2, 31)):
        np.testing.assert_allclose(engine.read_sequence(sequence, TEXT[:length]), expected[length - 1], atol=2e-4)
    for step in range(4):
        lengths = [10 + step, 2, 31 + step]
        found = engine.decode_batch([0, 2], [TEXT[lengths[0]], TEXT[lengths[2]]])
        np.testing.assert_allclose(found, expected[[lengths[0], lengths[2]]], atol=2e-4)
    np.testing.assert_allclose(engine.decode_batch([1], [TEXT[2]])[0], expected[2], atol=2e-4)


@pytest.mark.parametrize(("method", "most"), [("int8-dynamic", 0.01), ("int4-onnx", 0.6)])
def test_rounded_products_stay_near(method, most, tiny_model, expected):
    engine, info = loaded(method, tiny_model(KIND))
    assert 0 < divergence(expected, forced(engine, TEXT)) < most
    assert info.facts["quantised"].startswith("100 %")
