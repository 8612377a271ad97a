"""What goes wrong while a method is prepared: a failure that names phase and reason, and a cache left clean."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from tests.engines.ort.generation import opened
from tuibench.core.run.events import PROTOCOL_VERSION, EngineReady, FailureKind, Phase, PhaseProgressed
from tuibench.core.run.spec import Calibration, LoadRequest
from tuibench.engines.ort.build import build
from tuibench.engines.ort.recipes import OPTIONS
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.supervisor import WorkerProcess
from tuibench.models.artifacts import ArtifactError, cached_artifacts

FULL_DISK = """
import shutil
shutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
"""


@pytest.fixture
def copied(tiny_model, tmp_path):
    return Path(shutil.copytree(tiny_model("llama"), tmp_path / "model"))


async def started(tmp_path, model_dir, method, **options):
    load = LoadRequest(protocol=PROTOCOL_VERSION, method=method, model_dir=str(model_dir), n_threads=1, **options)
    return await WorkerProcess.start(load, tmp_path / "worker.log")


async def failure(tmp_path, model_dir, method, **options):
    worker = await started(tmp_path, model_dir, method, **options)
    try:
        with pytest.raises(WorkerFailureError) as caught:
            _ = [event async for event in worker.ready()]
    finally:
        await worker.end()
    return caught.value


def left_in(cache, method):
    return [*(cache / "artifacts").glob(f"{method}*"), *(cache / "artifacts" / ".staging").glob("*")]


async def test_an_architecture_without_a_graph(tmp_path, copied, empty_cache):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    failed = await failure(tmp_path, copied, "onnx-fused")
    assert (failed.kind, failed.phase) == (FailureKind.UNSUPPORTED, Phase.PREPARE)
    assert failed.message.startswith("no ONNX graph for the architecture 'mamba'; known: llama")
    assert left_in(empty_cache, "onnx-fused") == []


async def test_a_disk_without_room(tmp_path, copied, empty_cache, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FULL_DISK)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    failed = await failure(tmp_path, copied, "onnx-fused")
    assert (failed.kind, failed.phase) == (FailureKind.ERROR, Phase.PREPARE)
    assert failed.message.startswith("the files of this method take about ")
    assert "free some space, or set TUIBENCH_CACHE to a larger disk" in failed.message
    assert left_in(empty_cache, "onnx-fused") == []


async def test_logits_that_are_not_finite(tmp_path, copied, empty_cache):
    weights = load_file(copied / "model.safetensors")
    weights["model.norm.weight"] = np.full_like(weights["model.norm.weight"], np.inf)
    save_file(weights, copied / "model.safetensors")
    failed = await failure(tmp_path, copied, "int8-dynamic")
    assert (failed.kind, failed.phase) == (FailureKind.ERROR, Phase.PREPARE)
    assert failed.message.startswith("the finished graph gives logits that are not finite")
    assert left_in(empty_cache, "int8-dynamic") == []


async def test_a_calibration_text_that_is_no_text(tmp_path, copied, empty_cache):
    (tmp_path / "image.txt").write_bytes(b"\x89PNG" * 100)
    failed = await failure(tmp_path, copied, "int8-static", calibration=Calibration(file=str(tmp_path / "image.txt")))
    assert (failed.kind, failed.phase) == (FailureKind.BAD_INPUT, Phase.PREPARE)
    assert failed.message == "the calibration text image.txt is not UTF-8 text (byte 0)"
    assert left_in(empty_cache, "int8-static") == []


async def test_a_build_that_is_killed_in_the_middle(tmp_path, tiny_model, empty_cache):
    worker = await started(tmp_path, tiny_model("llama"), "onnx")
    try:
        events = worker.ready()
        async for event in events:
            if isinstance(event, PhaseProgressed) and event.label == "making the PyTorch model":
                break
        (child,) = psutil.Process(worker.pid).children()
        assert left_in(empty_cache, "onnx")
        child.send_signal(signal.SIGKILL)
        with pytest.raises(WorkerFailureError, match="ended with signal 9") as caught:
            _ = [event async for event in events]
    finally:
        await worker.end()
    assert (caught.value.kind, caught.value.phase) == (FailureKind.ERROR, Phase.PREPARE)
    assert left_in(empty_cache, "onnx") == []


@pytest.mark.usefixtures("empty_cache")
async def test_a_damaged_artifact_is_made_again_by_the_next_worker(tmp_path, tiny_model):
    _, _, made = opened("onnx-fused", tiny_model("llama"))
    assert made
    (artifact,) = cached_artifacts()
    weights = artifact.directory / "weights.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    worker = await started(tmp_path, tiny_model("llama"), "onnx-fused")
    try:
        ready = [event async for event in worker.ready()][-1]
    finally:
        await worker.end()
    assert isinstance(ready, EngineReady)
    assert ready.prepare_ns is not None
    assert weights.read_bytes() != bytes(content)


@pytest.mark.usefixtures("empty_cache")
def test_an_export_that_fails_in_the_middle_is_told_in_a_sentence(tiny_model, monkeypatch):
    import torch

    def fail(*_, **__):
        raise RuntimeError("Cannot view a tensor with\nmore lines than one")

    monkeypatch.setattr(torch.export, "export", fail)
    with pytest.raises(ArtifactError, match=r"^torch.onnx cannot export llama: Cannot view a tensor with$"):
        build("onnx", OPTIONS["onnx"], tiny_model("llama"), lambda *_: None)
    assert cached_artifacts() == []
