"""What a `--model` argument means, as far as this disk has it: a pulled model, a folder, a converted GGUF file."""

from __future__ import annotations

import re
from pathlib import Path

from tuibench import paths
from tuibench.models.cache import find_cached
from tuibench.models.digest import remembered_sha256
from tuibench.models.folder import open_folder, snapshot_of, weight_files
from tuibench.models.local import LocalModel, ModelError

_GGUF = ".gguf"


def find_model(name: str) -> LocalModel | None:
    """Return a model without using the network; None if it would have to be pulled first.

    Args:
        name: A pulled model's name or hub id, a folder or the weights in it, or a GGUF file (found if it was
            converted before). A folder that is called like a pulled model is reached as `./NAME`.

    Raises:
        ModelError: It is there but cannot be used, or the path leads nowhere.
    """
    if is_gguf(name):
        return find_cached(gguf_model_name(paths.expanded(name)))
    if not _is_path(name) and (cached := find_cached(name)) is not None:
        return cached
    path = paths.expanded(name)
    if path.is_dir():
        return open_folder(snapshot_of(path))
    if path.is_file():
        return open_folder(_folder_of(path))
    if _is_path(name):
        raise ModelError(f"there is no model folder {name}")
    return None


def _folder_of(file: Path) -> Path:
    """Return the folder whose model a file is the weights of, or the configuration."""
    folder = file.parent
    known = {"config.json", "model.safetensors.index.json"}
    if file.name in known or file in weight_files(folder, folder.resolve().name):
        return folder
    raise ModelError(
        f"{file.name} is not what a model is loaded from (that is model.safetensors or its shards, or a .gguf file); "
        "--model takes the folder that these are in"
    )


def is_gguf(name: str) -> bool:
    """Tell whether a name means a GGUF file."""
    return name.lower().endswith(_GGUF)


def gguf_model_name(path: Path) -> str:
    """Return the name that a GGUF file's model has in the cache; the first call for a file reads it whole.

    Raises:
        ModelError: There is no such file.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    stem = re.sub(r"[^\w.+-]", "_", path.name[: -len(_GGUF)]).lstrip(".+-")
    return f"{stem or 'model'}-{remembered_sha256([path])[:8]}"


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1
