"""What a `--model` argument means, as far as this disk has it: a pulled model, a folder, a converted GGUF file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tuibench import paths
from tuibench.models.cache import cached_models, find_cached, is_name
from tuibench.models.digest import remembered_sha256
from tuibench.models.folder import look_into, open_folder, snapshot_of, weight_files
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.origin.page_address import hub_id

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
    folder = _folder(name)
    return None if folder is None else open_folder(folder)


class ModelKind(StrEnum):
    """What a `--model` argument can name."""

    CACHED = "cached"
    FOLDER = "folder"
    GGUF = "GGUF file"
    ABSENT = "absent"
    """A model that would have to be pulled, if there is one of that name."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """What a name means here, as far as can be said without reading any weights."""

    kind: ModelKind
    disk_bytes: int | None = None
    """Of what is on this disk; None where that is nothing, or not enough."""
    problem: str | None = None
    """Why it cannot be used, and the remedy."""


def named_model(name: str) -> NamedModel:
    """Return what a name means: as `find_model` takes it, or the address of a model's page."""
    kind = ModelKind.ABSENT
    try:
        name = hub_id(name)
        if is_gguf(name):
            kind = ModelKind.GGUF
            return NamedModel(kind, _existing(paths.expanded(name)).stat().st_size)
        known = () if _is_path(name) else cached_models()
        if found := next((model for model in known if name in {model.name, model.source}), None):
            return NamedModel(ModelKind.CACHED, found.disk_bytes)
        folder = _folder(name)
        if folder is not None:
            kind = ModelKind.FOLDER
            return NamedModel(kind, look_into(folder))
        check_name(name)
        return NamedModel(kind)
    except ModelError as error:
        return NamedModel(kind, problem=str(error))
    except OSError as error:
        return NamedModel(kind, problem=f"{name} cannot be read: {error.strerror}; check the path and its permissions")


def check_name(name: str) -> None:
    """Refuse what no model to be pulled can be called.

    Raises:
        ModelError: It is such a name.
    """
    if not is_name(name):
        raise ModelError(f"{name!r} is neither a model folder, nor a .gguf file, nor a hub id such as owner/model")


def _folder(name: str) -> Path | None:
    """Return the folder that a path means; None for what can only be the name of a model to be pulled."""
    path = paths.expanded(name)
    if path.is_dir():
        return snapshot_of(path)
    if path.is_file():
        return _folder_of(path)
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
    stem = re.sub(r"[^\w.+-]", "_", path.name[: -len(_GGUF)]).lstrip(".+-")
    return f"{stem or 'model'}-{remembered_sha256([_existing(path)])[:8]}"


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise ModelError(f"there is no file {file}; check its path")
    return file


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1
