"""A model folder, described from its small files and the headers of its weights: no model library is loaded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from tuibench.models.digest import remembered_sha256
from tuibench.models.json_object import JsonObjectError, read_json_object
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.weights import read_header

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
    _check_path(directory, shown)
    config = read_config(directory, shown)
    files = weight_files(directory, shown)
    if not any((directory / file).is_file() for file in TOKENIZER_FILES):
        raise ModelError(f"{shown} has no tokenizer.json; add the tokenizer files of the model to its folder")
    headers = [read_header(path) for path in files]
    elements: Counter[str] = Counter()
    for header in headers:
        elements.update(header.elements)
    return LocalModel(
        name=shown,
        source=source or shown,
        directory=directory,
        digest=remembered_sha256(files),
        parameters=elements.total(),
        weight_bytes=sum(header.n_bytes for header in headers),
        architecture=_architecture(config, shown),
        dtype=elements.most_common(1)[0][0],
        context_window=_context_window(config),
    )


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
