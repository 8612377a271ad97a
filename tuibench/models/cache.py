"""Pulled models: one folder each, placed whole by a rename or not at all.

```
models/NAME/                  the model, with tuibench-model.json saying where it came from
models/.staging/NAME/         what an unfinished pull has so far; only ever touched under the lock
models/.locks/NAME.lock       the kernel frees it when its owner dies
```
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

import tuibench
from tuibench import paths
from tuibench.models.digest import remembered_sha256
from tuibench.models.folder import open_folder
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.waiting_lock import waiting_lock

RECORD_NAME = "tuibench-model.json"
# One or two parts, none of which begins with a dot: no name leads out of the folder or to its hidden ones.
_NAME = re.compile(r"\w[\w.+-]*(/\w[\w.+-]*)?")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model's weights came from."""

    source: str
    """Fit to be shared: hub id, package with version and file, or file name; never a path."""
    revision: str | None = None
    """Commit on the hub, or SHA-256 of the file that was converted."""
    file: str | None = None
    """Where that file of the user's lay; never leaves this cache."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    origin: Origin
    weights_sha256: str
    tuibench_version: str


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A pulled model, described without opening it."""

    name: str
    source: str
    directory: Path
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Staging:
    """Where a pull works; on the same file system as the cache."""

    downloads: Path
    """Kept when a pull is cut off, so that the next can go on."""
    model: Path
    """Becomes the model; empty at the start of every pull."""


def is_name(name: str) -> bool:
    """Tell whether a model can be called so: like `model` or like the hub's `owner/model`."""
    return _NAME.fullmatch(name) is not None


def cached_models() -> list[CachedModel]:
    """Return all pulled models by name."""
    found: list[CachedModel] = []
    for path in paths.models_dir().glob(f"*/{RECORD_NAME}"):
        record = _read_record(path.parent)
        if record is not None:
            found.append(CachedModel(record.name, record.origin.source, path.parent, disk_bytes(path.parent)))
    return sorted(found, key=lambda model: model.name.lower())


def find_cached(name: str) -> LocalModel | None:
    """Return a pulled model by its name or the hub id that it came from; None if there is none.

    Raises:
        ModelError: It is there, but damaged.
    """
    directory = _find_directory(name)
    if directory is None or (record := _read_record(directory)) is None:
        return None
    remedy = f"run `tuibench models rm {record.name}`, then pull it again"
    try:
        model = open_folder(directory, name=record.name, source=record.origin.source)
    except ModelError as error:
        raise ModelError(f"the cached {record.name} is damaged: {error}; {remedy}") from error
    if model.digest != record.weights_sha256:
        raise ModelError(f"the weights of the cached {record.name} have changed since they were pulled; {remedy}")
    return model


def source_file(directory: Path) -> Path:
    """Return the user's GGUF file that a cached model was converted from.

    Raises:
        ModelError: There is none, or it is not there any more as it was.
    """
    record = _read_record(directory)
    if record is None or record.origin.file is None:
        raise ModelError(f"{directory.name} was not converted from a GGUF file on this disk; give one with --model")
    path = Path(record.origin.file)
    if not path.is_file() or remembered_sha256([path]) != record.origin.revision:
        raise ModelError(
            f"{record.origin.source}, which {record.name} was converted from, is not at its place any more, or another "
            f"file is; `tuibench models rm {record.name}`, then give the file with --model again"
        )
    return path


def remove_cached(name: str) -> int | None:
    """Remove a pulled model and what unfinished pulls of it left; return the bytes freed, None if there was nothing.

    Raises:
        ModelError: It is being pulled at the moment.
    """
    if not is_name(name):
        return None
    directory = _find_directory(name) or _directory(name)
    staging = _staging_root(directory)
    if not (directory / RECORD_NAME).is_file() and not staging.is_dir():
        return None
    try:
        with FileLock(_lock_path(directory), timeout=0):
            freed = disk_bytes(directory) + disk_bytes(staging)
            if directory.is_dir():
                staging.mkdir(parents=True, exist_ok=True)
                directory.replace(staging / "removed")  # gone at once, even if the deletion below is cut off
            shutil.rmtree(staging)
    except Timeout as error:
        raise ModelError(f"{name} is being pulled at the moment; end that first") from error
    return freed


@contextmanager
def pull_lock(name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the right to pull a model; `on_wait` is called once if somebody else pulls it."""
    with waiting_lock(_lock_path(_directory(name)), on_wait):
        yield


def open_staging(name: str) -> Staging:
    """Return where to build a model; only under its `pull_lock`."""
    root = _staging_root(_directory(name))
    staging = Staging(downloads=root / "downloads", model=root / "model")
    shutil.rmtree(staging.model, ignore_errors=True)
    for directory in (staging.downloads, staging.model):
        directory.mkdir(parents=True, exist_ok=True)
    return staging


def place(name: str, staging: Staging, origin: Origin) -> LocalModel:
    """Check a staged model and move it into the cache in one step; only under its `pull_lock`.

    Raises:
        ModelError: What was staged is not a usable model.
    """
    staged = open_folder(staging.model, name=name, source=origin.source)
    record = _Record(name=name, origin=origin, weights_sha256=staged.digest, tuibench_version=tuibench.__version__)
    (staging.model / RECORD_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    for path in staging.model.iterdir():
        _flush_to_disk(path)
    directory = _directory(name)
    staging.model.replace(directory)
    _flush_to_disk(directory.parent)
    shutil.rmtree(_staging_root(directory), ignore_errors=True)
    return open_folder(directory, name=name, source=origin.source)


def disk_bytes(directory: Path) -> int:
    """Return the bytes that a folder's files take on the disk; 0 if there is no such folder."""
    total = 0
    for path in directory.rglob("*"):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue  # a running download renames its files
        total += min(status.st_size, status.st_blocks * 512)
    return total


def _directory(name: str) -> Path:
    return paths.models_dir() / name.replace("/", "--")


def _staging_root(directory: Path) -> Path:
    return directory.parent / ".staging" / directory.name


def _lock_path(directory: Path) -> Path:
    path = directory.parent / ".locks" / f"{directory.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _find_directory(name: str) -> Path | None:
    if not is_name(name):
        return None
    directory = _directory(name)
    if (directory / RECORD_NAME).is_file():
        return directory
    return next((model.directory for model in cached_models() if name in (model.name, model.source)), None)


def _read_record(directory: Path) -> _Record | None:
    try:
        return msgspec.json.decode((directory / RECORD_NAME).read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError):
        return None  # not a folder of ours


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
