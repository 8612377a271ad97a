"""Models for everybody's tests: two tiny ones made on the spot, and the real default one."""

from __future__ import annotations

import pytest

from tests.tiny_models import save_gpt2, save_llama
from tuibench.models.folder import open_folder
from tuibench.models.local import DEFAULT_MODEL


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """Two layers, grouped KV heads, tied embeddings, chat template."""
    return open_folder(save_llama(tmp_path_factory.mktemp("models") / "tiny-llama"))


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory):
    """Two layers, no chat template."""
    return open_folder(save_gpt2(tmp_path_factory.mktemp("models") / "tiny-gpt2"))


@pytest.fixture(scope="session")
def real_model():
    """The default model; pulled into the user's cache by the first test that needs it."""
    from tuibench.models.pull import pull_model

    return pull_model(DEFAULT_MODEL)
