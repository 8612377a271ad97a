from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest

from tuibench.models import digest
from tuibench.models.folder import open_folder
from tuibench.models.local import ModelError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tiny_llama, tmp_path):
    return shutil.copytree(tiny_llama.directory, tmp_path / "my model")


def test_folder_is_described(folder):
    model = open_folder(folder)
    weights = (folder / "model.safetensors").read_bytes()
    assert model.name == model.source == "my model"
    assert model.digest == hashlib.sha256(weights).hexdigest()
    assert (model.architecture, model.dtype, model.context_window) == ("LlamaForCausalLM", "F32", 256)
    assert model.weight_bytes == len(weights)
    # Embeddings (tied), then per layer q and o, k and v, three of the MLP, two norms; the last norm.
    assert model.parameters == 384 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 64


def test_own_folder_is_never_written_to(folder):
    before = sorted(folder.iterdir())
    open_folder(folder)
    assert sorted(folder.iterdir()) == before


def test_digest_is_read_once_until_the_file_changes(folder, monkeypatch):
    first = open_folder(folder).digest
    real = digest.sha256
    monkeypatch.setattr(digest, "sha256", lambda *_: pytest.fail("read again"))
    assert open_folder(folder).digest == first
    monkeypatch.setattr(digest, "sha256", real)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    status = weights.stat()
    weights.write_bytes(content)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert open_folder(folder).digest == hashlib.sha256(content).hexdigest() != first


def test_unwritable_cache_only_costs_time(folder, tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "a file"))
    assert open_folder(folder).digest == open_folder(folder).digest


def test_shards_are_added_up(folder):
    from safetensors.torch import load_file, save_file

    whole = open_folder(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in halves.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    sharded = open_folder(folder)
    both = b"".join((folder / file).read_bytes() for file in sorted(halves))
    assert sharded.parameters == whole.parameters
    assert sharded.digest == hashlib.sha256(both).hexdigest()


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "weights.bin", "gone.safetensors"])
def test_shard_outside_the_folder_or_missing_is_refused(folder, shard):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        open_folder(folder)


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "pytorch_model-00001-of-2.bin", "model.pt", "last.ckpt"])
def test_pickle_is_refused_with_the_reason(folder, pickle):
    (folder / "model.safetensors").rename(folder / pickle)
    with pytest.raises(ModelError, match=r"only pickle weights .*run any code"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "my model has no config.json"),
        ("tokenizer.json", "my model has no tokenizer.json"),
        ("model.safetensors", "my model has no model.safetensors"),
    ],
)
def test_missing_file_is_named(folder, missing, message):
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=message):
        open_folder(folder)


@pytest.mark.parametrize("config", ["", "[]", "{", '{"architectures": []}'])
def test_unusable_config_is_named(folder, config):
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelError, match=r"config\.json of my model"):
        open_folder(folder)
