"""What a `--model` argument means on this disk."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from huggingface_hub.file_download import repo_folder_name

from tuibench.models.local import ModelError
from tuibench.models.origin.sources import ModelKind, find_model, named_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tiny_llama, tmp_path):
    return shutil.copytree(tiny_llama.directory, tmp_path / "own")


@pytest.fixture(params=["owner/a-model", "gpt2"])
def hub_cache(request, folder, tmp_path):
    """A model in the hub's own cache: links into a folder of blobs, under the name of a commit."""
    root = tmp_path / "hub" / repo_folder_name(repo_id=request.param, repo_type="model")
    snapshot = root / "snapshots" / COMMIT
    (root / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(root / "blobs" / str(number))
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT)
    return request.param, root


def test_a_model_in_the_hubs_cache_is_called_by_its_id(hub_cache):
    name, root = hub_cache
    snapshot = root / "snapshots" / COMMIT
    for path in (snapshot, root, snapshot / "model.safetensors"):
        model = find_model(str(path))
        assert (model.name, model.source) == (name, name)
        assert model.directory == snapshot


def test_a_folder_that_only_looks_alike_has_its_own_name(folder, tmp_path):
    for parts in (("snapshots", "x"), ("models--a--b", "other", "x")):
        shutil.copytree(folder, tmp_path.joinpath("like", *parts))
        assert find_model(str(tmp_path.joinpath("like", *parts))).name == "x"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_file_of_a_model_means_its_folder(folder, file, monkeypatch):
    assert find_model(str(folder / file)).name == "own"
    monkeypatch.chdir(folder)
    assert find_model(file).name == "own"


def test_any_shard_means_its_folder(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"x": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for file in ("model-00001-of-00001.safetensors", "model.safetensors.index.json"):
        assert find_model(str(folder / file)).directory == folder


def test_a_file_that_would_not_be_loaded_is_refused(folder):
    shutil.copy(folder / "model.safetensors", folder / "adapter.safetensors")
    with pytest.raises(ModelError, match=r"adapter\.safetensors is not what a model is loaded from.*--model takes"):
        find_model(str(folder / "adapter.safetensors"))


def test_a_path_that_is_not_utf8_is_refused_with_a_remedy(folder):
    odd = folder.rename(Path(os.fsdecode(os.fsencode(folder) + b"-\xff")))
    with pytest.raises(ModelError, match=r"not UTF-8.*rename"):
        find_model(str(odd))


def test_a_configuration_with_infinity_is_read(folder):
    config = json.loads((folder / "config.json").read_text()) | {"time_step_limit": [0.0, float("inf")]}
    (folder / "config.json").write_text(json.dumps(config))
    assert find_model(str(folder)).architecture == "LlamaForCausalLM"


def test_what_a_folder_lacks_is_said_without_reading_its_weights(folder):
    n_bytes = (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").write_bytes(bytes(n_bytes))  # nothing that could be read
    whole = named_model(str(folder))
    assert (whole.kind, whole.disk_bytes, whole.problem) == (ModelKind.FOLDER, n_bytes, None)
    for file in ("tokenizer.json", "model.safetensors", "config.json"):
        for other in folder.glob("*token*") if file == "tokenizer.json" else [folder / file]:
            other.unlink()
        lacking = named_model(str(folder))
        assert (lacking.kind, lacking.disk_bytes) == (ModelKind.FOLDER, None)
        assert file in lacking.problem


def test_a_gguf_file_is_named_without_reading_it(tmp_path):
    file = tmp_path / "x.gguf"
    assert "there is no file" in named_model(str(file)).problem
    file.write_bytes(b"12345")
    found = named_model(str(file))
    assert (found.kind, found.disk_bytes, found.problem) == (ModelKind.GGUF, 5, None)


@pytest.mark.parametrize("name", ["owner/model", "gpt2", "https://huggingface.co/owner/model"])
def test_a_hub_id_that_is_not_here_is_absent(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = named_model(name)
    assert (found.kind, found.disk_bytes, found.problem) == (ModelKind.ABSENT, None, None)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/nowhere/at/all", "there is no model folder"),
        ("https://example.com/a/b", "not the page of a model"),
        ("a model", "neither a model folder"),
    ],
)
def test_what_can_be_no_model_says_why(name, why):
    assert why in named_model(name).problem
