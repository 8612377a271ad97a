"""Models for everybody's tests: two tiny ones made on the spot, and the real default one."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys

import hypothesis
import psutil
import pytest

from tests.caches import knowing_the_bandwidth
from tests.tiny_models import save_gpt2, save_llama
from tuibench import paths
from tuibench.models.folder import open_folder
from tuibench.models.local import DEFAULT_MODEL

# Programs started here must hear both, also where nohup or a shell's background started the tests.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
gc.disable()  # until all is imported
# Tests run side by side, so that PyTorch's threads outnumber the cores: those that wait for each other by spinning take
# the time of those they wait for. Read as PyTorch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The same examples every time, as long as they take: whether tests pass depends on neither luck nor the machine.
# `--hypothesis-profile default` looks for new ones.
hypothesis.settings.load_profile("ci")

SLOWEST = (
    "deploy/test_take", "engines/ort/test_same_model", "quality/test_real_model", "cli/test_run",
    "engines/test_fused_logits", "engines/test_fused_session", "cli/test_run_faults", "test_end_to_end",
    "serving/test_serve_model", "hosts/test_runs", "test_ssh", "engines/ort/test_checkpoint",
    "measure/test_quality_turns", "engines/ort/test_score", "engines/test_architectures", "engines/test_fused_kernels",
    "engines/ort/test_graph_facts", "store/test_append", "engines/test_torch_bf16_and_compiled", "ui/test_snapshots",
    "ui/test_bench", "ui/test_replay", "ui/test_resume", "measure/test_faults", "hosts/test_detached",
    "cli/test_pick",
)  # fmt: skip
"""Files that would keep everybody waiting if they were begun last."""


def pytest_collection_modifyitems(items):
    ranks = {f"tests/{name}.py": rank for rank, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


def pytest_collection_finish():
    """What was imported, model libraries included, stays: the collector need not look at it again and again.

    As it comes, it takes a fifth of the time of tests that make as many objects as those of the dashboard do.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def _made(save, directory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(directory / "cache"))  # the user's own does not hear of test models
        return open_folder(save(directory / f"tiny-{save.__name__.removeprefix('save_')}"))


@pytest.fixture(autouse=True)
def _denormal_numbers():
    """ONNX Runtime makes the thread that opens a session flush denormal numbers to zero, for good: not for others."""
    yield
    if "onnxruntime" in sys.modules:
        import torch

        torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def _own_lock(monkeypatch, tmp_path):
    """Neither waits for another's measurement on this machine nor makes it wait."""
    monkeypatch.setenv("TUIBENCH_LOCK", str(tmp_path / "measuring.lock"))


@pytest.fixture
def descendants():
    """The processes that the test has started: others' servers (sshd, Slurm) may live in the same process of tests."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: set(psutil.Process().children(recursive=True)) - before


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


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """A cache for all processes with tests: graphs are made once, kernels are those that are compiled already."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"
    folder.mkdir(exist_ok=True)  # another process may have made it
    for name in ("numba", "transformers"):
        kept = paths.cache_dir() / name
        kept.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(kept)
    return knowing_the_bandwidth(folder)


@pytest.fixture
def warm_cache(shared_cache, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(shared_cache))
    return shared_cache
