"""Models for everybody's tests: two tiny ones made on the spot, and the real default one."""

from __future__ import annotations

import signal

import hypothesis
import pytest

from tests.tiny_models import save_gpt2, save_llama
from tuibench.models.folder import open_folder
from tuibench.models.local import DEFAULT_MODEL

# Programs started here must hear both, also where nohup or a shell's background started the tests.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
# The same examples every time, as long as they take: whether tests pass depends on neither luck nor the machine.
# `--hypothesis-profile default` looks for new ones.
hypothesis.settings.load_profile("ci")


def _made(save, directory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(directory / "cache"))  # the user's own does not hear of test models
        return open_folder(save(directory / f"tiny-{save.__name__.removeprefix('save_')}"))


@pytest.fixture(autouse=True)
def _own_lock(monkeypatch, tmp_path):
    """Neither waits for another's measurement on this machine nor makes it wait."""
    monkeypatch.setenv("TUIBENCH_LOCK", str(tmp_path / "measuring.lock"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """Two layers, grouped KV heads, tied embeddings, chat template."""
    return _made(save_llama, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory):
    """Two layers, no chat template."""
    return _made(save_gpt2, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def real_model():
    """The default model; pulled into the user's cache by the first test that needs it."""
    from tuibench.models.origin.pull import pull_model

    return pull_model(DEFAULT_MODEL)
