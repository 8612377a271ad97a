"""Files that methods make from a model (exports, quantised weights), kept under what they were made from.

```
artifacts/METHOD-KEY/         the files and manifest.json; placed whole by a rename or not at all
artifacts/.staging/…          what a build has so far; only ever touched under the lock
artifacts/.locks/….lock       the kernel frees it when its owner dies
```
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tuibench import paths

MANIFEST = "manifest.json"
_POLL_S = 0.2
_MEGABYTE = 1_000_000


class ArtifactError(Exception):
    """An artifact could not be made; the message says why and what would help."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what an artifact holds; another value anywhere is another artifact."""

    method: str
    model_digest: str
    """SHA-256 over the model's weights and configuration."""
    options: dict[str, str]
    versions: dict[str, str]
    """Of the libraries that made it, and of our own graph layout."""

    @property
    def name(self) -> str:
        """Folder name: the method and the first 16 digits of a digest over all of this."""
        encoded = msgspec.json.encode(self, order="deterministic")
        return f"{self.method}-{hashlib.sha256(encoded).hexdigest()[:16]}"


class _File(msgspec.Struct, frozen=True):
    n_bytes: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    recipe: Recipe
    model_name: str
    files: dict[str, _File]


@dataclass(frozen=True, slots=True)
class CachedArtifact:
    """An artifact on this disk."""

    method: str
    model_name: str
    model_digest: str
    directory: Path
    disk_bytes: int


def find_artifact(recipe: Recipe, *, verify: bool = True) -> CachedArtifact | None:
    """Return the artifact of a recipe, or None where there is none, or only a damaged one.

    Args:
        recipe: What it was made from.
        verify: Whether to read every byte and compare digests, or to look at sizes only.
    """
    directory = paths.artifacts_dir() / recipe.name
    manifest = _read_manifest(directory)
    if manifest is None or manifest.recipe != recipe or not _is_whole(directory, manifest, verify=verify):
        return None
    return _described(directory, manifest)


def make_artifact(
    recipe: Recipe,
    model_name: str,
    build: Callable[[Path], None],
    *,
    needed_bytes: int = 0,
    on_wait: Callable[[], None] = lambda: None,
) -> CachedArtifact:
    """Return the artifact of a recipe, made by `build` unless somebody else has made it meanwhile.

    Args:
        recipe: What to make.
        model_name: Shown in lists.
        build: Writes the files into the empty folder that it is given.
        needed_bytes: About how much it will write.
        on_wait: Called once if another process is making the same artifact.

    Raises:
        ArtifactError: The disk is full.
    """
    from filelock import FileLock, Timeout  # who only knows a method by name, as each verb does, makes nothing

    discard_abandoned()
    root = paths.artifacts_dir()
    lock = FileLock(_lock_path(recipe.name))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire(poll_interval=_POLL_S)
    staging = root / ".staging" / recipe.name
    try:
        found = find_artifact(recipe)
        if found is not None:
            return found
        _make_room(staging, needed_bytes)
        build(staging)
        manifest = _Manifest(recipe=recipe, model_name=model_name, files=_files(staging))
        (staging / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        directory = root / recipe.name
        _place(staging, directory)
        return _described(directory, manifest)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise ArtifactError(f"no space left under {root.name}; free some, or remove models you do not use") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        lock.release()


def discard_unfinished(recipe: Recipe) -> None:
    """Remove what a build that was killed has left, unless somebody else is building it by now."""
    _discard_staging(recipe.name)


def discard_abandoned(*, patience_s: float = 0) -> None:
    """Remove what builds left that nobody could clean up after, because their worker was killed with them.

    Args:
        patience_s: How long to wait for a build that was killed just now to be gone.
    """
    for staging in (paths.artifacts_dir() / ".staging").glob("*"):
        _discard_staging(staging.name, patience_s)


def _discard_staging(name: str, patience_s: float = 0) -> None:
    from filelock import FileLock, Timeout

    try:
        with FileLock(_lock_path(name), timeout=patience_s):
            shutil.rmtree(paths.artifacts_dir() / ".staging" / name, ignore_errors=True)
    except Timeout:
        pass  # its build goes on


def cached_artifacts() -> list[CachedArtifact]:
    """Return all artifacts, by model and method."""
    found = [
        _described(path.parent, manifest)
        for path in paths.artifacts_dir().glob(f"*/{MANIFEST}")
        if (manifest := _read_manifest(path.parent)) is not None
    ]
    return sorted(found, key=lambda artifact: (artifact.model_name.lower(), artifact.method))


def remove_artifacts(model_name: str | None = None) -> int:
    """Remove a model's artifacts, or everybody's, and what cut-off builds left; return the bytes freed.

    Artifacts that are being made stay. Workers that run from removed files go on: the files vanish when they end.
    """
    root = paths.artifacts_dir()
    chosen = {artifact.directory.name for artifact in cached_artifacts() if model_name in {None, artifact.model_name}}
    leftovers = {path.name for path in (root / ".staging").glob("*")}
    unreadable = {path.name for path in root.glob("[!.]*") if _read_manifest(path) is None}
    return sum(_remove(root, name) for name in sorted(chosen | leftovers | unreadable))


def versions_of(*libraries: str) -> dict[str, str]:
    """Return the installed versions of libraries, for a recipe."""
    from importlib.metadata import version

    return {library: version(library) for library in libraries}


def as_options(options: Mapping[str, object]) -> dict[str, str]:
    """Return options as text, which compares and encodes the same everywhere."""
    return {key: str(value) for key, value in sorted(options.items())}


def _remove(root: Path, name: str) -> int:
    from filelock import FileLock, Timeout

    try:
        with FileLock(_lock_path(name), timeout=0):
            freed = _disk_bytes(root / name) + _disk_bytes(root / ".staging" / name)
            for directory in (root / name, root / ".staging" / name):
                shutil.rmtree(directory, ignore_errors=True)
    except Timeout:
        return 0
    return freed


def _make_room(staging: Path, needed_bytes: int) -> None:
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    free = shutil.disk_usage(staging).free
    if free < needed_bytes:
        raise ArtifactError(
            f"the files of this method take about {needed_bytes // _MEGABYTE} MB and only {free // _MEGABYTE} MB are "
            "free; free some space, or set TUIBENCH_CACHE to a larger disk"
        )


def _files(directory: Path) -> dict[str, _File]:
    found = {}
    for path in sorted(directory.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        found[path.name] = _File(path.stat().st_size, _sha256(path))
    return found


def _place(staging: Path, directory: Path) -> None:
    """Move a finished folder into the cache in one step; what was there is damaged or of no use."""
    if directory.exists():
        shutil.rmtree(directory)
    staging.replace(directory)
    descriptor = os.open(directory.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_whole(directory: Path, manifest: _Manifest, *, verify: bool) -> bool:
    try:
        sizes_fit = all((directory / name).stat().st_size == file.n_bytes for name, file in manifest.files.items())
        return sizes_fit and (
            not verify or all(_sha256(directory / name) == file.sha256 for name, file in manifest.files.items())
        )
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(directory: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def _described(directory: Path, manifest: _Manifest) -> CachedArtifact:
    return CachedArtifact(
        method=manifest.recipe.method,
        model_name=manifest.model_name,
        model_digest=manifest.recipe.model_digest,
        directory=directory,
        disk_bytes=_disk_bytes(directory),
    )


def _disk_bytes(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.glob("*"))


def _lock_path(name: str) -> Path:
    path = paths.artifacts_dir() / ".locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
