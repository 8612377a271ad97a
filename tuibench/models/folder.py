"""A model folder, described from its small files and the headers of its weights: no model library is loaded."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from tuibench.models.digest import remembered_sha256
from tuibench.models.json_object import JsonObjectError, read_json_object
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.text_part import has_text_part, text_settings, text_tensor
from tuibench.models.weights import WeightFile, read_header

PICKLE_PATTERNS = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_HUB_CACHE = "models--"
_WINDOW_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


def open_folder(directory: Path, *, name: str | None = None, source: str | None = None) -> LocalModel:
    """Return the model in a folder; the first call reads all weights once, for their digest.

    Args:
        directory: Holds `config.json`, a tokenizer and `model.safetensors` or its shards.
        name: Defaults to the folder's name; in the hub's own cache, to the hub id.
        source: Defaults to the name.

    Raises:
        ModelError: Something is missing, damaged or refused.
    """
    shown = name or _name_of(directory.resolve())
    config, files = _needed(directory, shown)
    elements: Counter[str] = Counter()
    for file in read_text_headers(directory, shown):
        elements.update(file.elements)
    return LocalModel(
        name=shown,
        source=source or shown,
        directory=directory,
        digest=remembered_sha256(files),
        parameters=elements.total(),
        weight_bytes=sum(path.stat().st_size for path in files),
        architecture=_architecture(config, shown),
        dtype=elements.most_common(1)[0][0],
        context_window=_context_window(text_settings(config)),
    )


def look_into(directory: Path) -> int:
    """Check that a folder has what a model needs, and return how many bytes its weights take: none of them is read.

    Raises:
        ModelError: As `open_folder`, in so far as the small files tell.
    """
    _, files = _needed(directory, _name_of(directory.resolve()))
    return sum(path.stat().st_size for path in files)


def _needed(directory: Path, name: str) -> tuple[dict[str, Any], list[Path]]:
    """Return the configuration and the weight files of a folder that has a tokenizer, too."""
    _check_path(directory, name)
    config = read_config(directory, name)
    files = weight_files(directory, name)
    if not any((directory / file).is_file() for file in TOKENIZER_FILES):
        raise ModelError(f"{name} has no tokenizer.json; add the tokenizer files of the model to its folder")
    return config, files


def snapshot_of(directory: Path) -> Path:
    """Return the folder of the files where one of a model in the hub's cache is named; any other as it is."""
    try:
        revision = (directory / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return directory
    snapshot = directory / "snapshots" / revision
    return snapshot if _is_of_hub_cache(directory) and snapshot.is_dir() else directory


def _name_of(directory: Path) -> str:
    """Return what a folder's model is called: the hub keeps models--OWNER--NAME/snapshots/COMMIT."""
    model = directory.parent.parent
    if directory.parent.name == "snapshots" and _is_of_hub_cache(model):
        return model.name.removeprefix(_HUB_CACHE).replace("--", "/", 1)
    return directory.name


def _check_path(directory: Path, name: str) -> None:
    try:
        str(directory.absolute()).encode()
    except UnicodeEncodeError:
        raise ModelError(
            f"the path of {name} is not UTF-8, and model libraries cannot open it; rename that folder, or link to it"
        ) from None


def _is_of_hub_cache(directory: Path) -> bool:
    return directory.name.startswith(_HUB_CACHE)


def read_config(directory: Path, name: str) -> dict[str, Any]:
    """Return `config.json`.

    Raises:
        ModelError: It is missing or not a JSON object.
    """
    path = directory / "config.json"
    try:
        return read_json_object(path)
    except FileNotFoundError as error:
        raise ModelError(f"{name} has no config.json; --model takes a folder that save_pretrained wrote") from error
    except (JsonObjectError, OSError) as error:
        raise ModelError(f"config.json of {name} cannot be read: {error}; fetch it again") from error


def weight_files(directory: Path, name: str) -> list[Path]:
    """Return the safetensors files of a model, in the order of their names.

    Raises:
        ModelError: There are none, one is missing, or there is only a pickle, which is never opened.
    """
    single = directory / "model.safetensors"
    if single.is_file():
        return [single]
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        return _shards(index, name)
    for pattern in PICKLE_PATTERNS:
        if found := next(directory.glob(pattern), None):
            raise ModelError(
                f"{name} has only pickle weights ({found.name}), which can run any code when opened; "
                "use a safetensors version of the model, or convert it on a machine you can lose"
            )
    raise ModelError(f"{name} has no model.safetensors; --model takes a folder with safetensors weights")


def read_text_headers(directory: Path, name: str) -> list[WeightFile]:
    """Return what a model's weight files hold; of one with other parts, what its text part does.

    Raises:
        ModelError: A file is missing or damaged.
    """
    files = [read_header(path) for path in weight_files(directory, name)]
    if not has_text_part(read_config(directory, name)):
        return files
    of_text = [
        replace(file, tensors={name: each for name, each in file.tensors.items() if text_tensor(name) is not None})
        for file in files
    ]
    if not any(file.tensors for file in of_text):
        raise ModelError(f"{name} holds no weights of the text part that its config.json tells of; fetch it again")
    return of_text


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def _shards(index: Path, name: str) -> list[Path]:
    try:
        shards = sorted(set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values()))
    except msgspec.DecodeError as error:
        raise ModelError(f"{index.name} of {name} cannot be read: {error}; fetch it again") from error
    if not shards:
        raise ModelError(f"{index.name} of {name} names no file; fetch it again")
    for shard in shards:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ModelError(f"{index.name} of {name} names {shard!r}, which is not a safetensors file beside it")
        if not (index.parent / shard).is_file():
            raise ModelError(f"{name} lacks {shard}, which {index.name} names; fetch it again")
    return [index.parent / shard for shard in shards]


def _architecture(config: dict[str, Any], name: str) -> str:
    match config.get("architectures"):
        case [str(architecture), *_]:
            return architecture
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ModelError(f"config.json of {name} names no architecture; is it a language model's?")
    return model_type


def _context_window(config: dict[str, Any]) -> int | None:
    for key in _WINDOW_KEYS:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
    return None
