"""Tiny models of every kind, and an artifact cache of their own."""

from __future__ import annotations

from functools import cache

import pytest

from tests.tiny_onnx_models import MAKERS


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Return a maker: the folder of a tiny model by its kind, and by other sizes than usual, made once."""
    made = {}

    def make(kind, **sizes):
        key = (kind, repr(sizes))
        if key not in made:
            made[key] = MAKERS[kind](tmp_path_factory.mktemp("onnx-models") / kind, **sizes)
        return made[key]

    return make


@pytest.fixture(scope="session", autouse=True)
def _operators_read_once():
    """torch.onnx parses the source of its 500 translations anew at each export, for a second; it only looks them up."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
