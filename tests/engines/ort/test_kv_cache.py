"""The size of a KV-cache that an engine tells, against the buffers that it holds."""

from __future__ import annotations

import pytest

from tests.engines.ort.generation import loaded

CAPACITY = 64
KINDS = ("gpt2", "llama", "mistral-window", "qwen2-two-windows")


def prefilled(method, model_dir):
    engine, info = loaded(method, model_dir)
    engine.prefill([5, 6, 7], CAPACITY)
    return engine._session, info.kv_cache


@pytest.mark.usefixtures("warm_cache")
@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_keeps_every_position_of_every_layer(kind, tiny_model):
    session, told = prefilled("onnx-fused", tiny_model(kind))
    assert sum(buffer.numpy().nbytes for buffer in session._cache.values()) == told.at(CAPACITY)


@pytest.mark.usefixtures("warm_cache")
def test_an_export_keeps_every_position_of_every_layer(tiny_model):
    session, told = prefilled("onnx", tiny_model("mistral-window"))
    assert sum(buffer.nbytes for buffer in session._cache) == told.at(session._capacity)


@pytest.mark.parametrize("method", ["fused-fp32", "fused-int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_our_kernels_keep_every_position_and_read_those_in_the_window(kind, method, tiny_model):
    engine, info = loaded(method, tiny_model(kind))

    def held(capacity):
        engine.prefill([5, 6, 7], capacity)
        parts = engine._session._cache.store
        return sum(array.nbytes for part in parts for array in (part if isinstance(part, tuple) else (part,)))

    shorter_bytes = held(CAPACITY)
    growth_bytes = held(2 * CAPACITY) - shorter_bytes  # what does not grow is the same for any length
    windows = engine._session.model.vectors.windows
    engine.close()
    layer_bytes = growth_bytes // (CAPACITY * len(windows))
    assert info.kv_cache.at(CAPACITY) == sum(layer_bytes * min(int(window), CAPACITY) for window in windows)
