"""Tiny models of every kind, and an artifact cache of their own."""

from __future__ import annotations

import pytest

from tests.tiny_onnx_models import MAKERS


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Return a maker: the folder of a tiny model by its kind, made once."""
    made = {}

    def make(kind):
        if kind not in made:
            made[kind] = MAKERS[kind](tmp_path_factory.mktemp("onnx-models") / kind)
        return made[kind]

    return make


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def warm_cache(shared_cache, monkeypatch):
    """A cache that the tests of this folder share: graphs are made once."""
    monkeypatch.setenv("TUIBENCH_CACHE", str(shared_cache))
    return shared_cache


@pytest.fixture
def graph_cache(request):
    """That one where a test's method has graphs; our own kernels stay where they are compiled already."""
    if not request.node.callspec.params["method"].startswith("fused"):
        request.getfixturevalue("warm_cache")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
