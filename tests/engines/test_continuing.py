"""Going on from a text that was read before: what follows is what follows the same text read anew."""

import numpy as np
import pytest

from tests.engines.ort.generation import loaded, transformers_logits
from tests.tiny_onnx_models import MAKERS, _save_llama_like
from tuibench.engines.base import ContinuingEngine

FIRST, AGAIN = [5, 9, 200, 31, 8, 8, 77, 5, 9, 200], [31, 8, 4, 90, 91, 92, 5, 9, 200, 31, 8]
N_KEPT, ROOM = 7, 64
EXACT = ("kv-cache", "kv-cache-lookup", "onnx", "onnx-fused", "fused-fp32")
QUANTISED = ("int8-torch", "int8-dynamic", "int8-static", "int4-onnx", "fused-int8", "fused-int4", "fused-int8-lookup")


def gone_on(engine):
    """Return what follows the kept beginning of a text and other tokens, copied; the text was longer before."""
    engine.prefill(FIRST, ROOM)
    for token_id in (31, 8, 8, 77, 5):  # so often that the guessing methods have guessed
        engine.decode(token_id)
    return following(engine, read_again(engine))


def read_again(engine):
    assert engine.keep(N_KEPT, ROOM)
    return engine.extend(AGAIN)


def following(engine, logits):
    return np.stack([np.array(logits), *(np.array(engine.decode(token_id)) for token_id in (8, 77, 5, 9))])


@pytest.mark.parametrize("method", EXACT)
def test_an_exact_method_goes_on_as_transformers_reads_the_whole_text(method, tiny_llama):
    engine, _ = loaded(method, tiny_llama.directory)
    assert isinstance(engine, ContinuingEngine)
    text = [*FIRST[:N_KEPT], *AGAIN, 8, 77, 5, 9]
    expected = transformers_logits(tiny_llama.directory, text)[-5:]
    np.testing.assert_allclose(gone_on(engine), expected, atol=2e-4)
    engine.close()


@pytest.mark.parametrize("kind", ["gemma4-keys-as-values", "gemma4-told-again", "gpt-oss", "lfm2-convolutions"])
def test_kernels_go_on_where_layers_differ(kind, tmp_path):
    """Beyond their windows, too."""
    directory = MAKERS[kind](tmp_path / kind)
    engine, _ = loaded("fused-fp32", directory)
    text = [*FIRST[:N_KEPT], *AGAIN, 8, 77, 5, 9]
    expected = transformers_logits(directory, text)[-5:]
    np.testing.assert_allclose(gone_on(engine), expected, atol=1e-5 * np.abs(expected).max())
    engine.close()


@pytest.mark.parametrize("method", QUANTISED)
def test_a_quantised_method_goes_on_as_if_it_had_never_decoded_what_it_forgot(method, tiny_llama):
    """The prompt is the same: `int8-torch` finds one range of activations for all of it."""
    engine, _ = loaded(method, tiny_llama.directory)
    assert isinstance(engine, ContinuingEngine)
    found = gone_on(engine)
    engine.prefill(FIRST, ROOM)
    expected = following(engine, read_again(engine))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    engine.close()


def test_a_cache_that_has_overwritten_older_tokens_says_that_it_cannot(tmp_path):
    model_dir = _save_llama_like(tmp_path / "model", "mistral", sliding_window=4)
    engine, _ = loaded("kv-cache", model_dir)
    engine.prefill(FIRST, ROOM)
    assert not engine.keep(N_KEPT, ROOM)


@pytest.mark.parametrize("method", EXACT)
def test_what_has_no_room_for_a_longer_text_says_so_and_what_can_grow_has_it(method, tiny_llama):
    engine, _ = loaded(method, tiny_llama.directory)
    engine.prefill(FIRST, 16)
    if not engine.keep(N_KEPT, 200):
        assert method != "onnx"  # whose buffers grow as they are needed
        engine.prefill(FIRST[:N_KEPT], 200)
    text = [*FIRST[:N_KEPT], *range(3, 190)]
    expected = transformers_logits(tiny_llama.directory, text)[-1]
    np.testing.assert_allclose(engine.extend(text[N_KEPT:]), expected, atol=2e-4)
    engine.close()


def test_without_a_cache_there_is_nothing_to_go_on_from(tiny_llama):
    assert not isinstance(loaded("baseline", tiny_llama.directory)[0], ContinuingEngine)
