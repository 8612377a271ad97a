"""The GGUF file of a model in one type: from the cache, or written by a child process first.

`python -m tuibench.engines.runtimes.llama_cpp.files MODEL_DIR TYPE` writes one: what that takes of memory is gone with
it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

from tuibench.engines.base import Progress, UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.runtimes.building import Tell, build_in_child, run_named_build
from tuibench.engines.runtimes.llama_cpp.gguf_file import unsupported, write_gguf
from tuibench.engines.runtimes.llama_cpp.tensor_types import FileType
from tuibench.models.artifacts import Recipe, find_artifact, make_artifact, versions_of
from tuibench.models.references import model_digest

_LAYOUT_VERSION = "1"
"""Raised whenever what is written changes."""


def gguf_path(model_dir: Path, file_type: FileType) -> Path | None:
    """Return a model's file in the cache; None where it is yet to be written. It is not read through."""
    found = find_artifact(_recipe(model_dir, file_type), verify=False)
    return None if found is None else found.directory / _name(file_type)


def prepare_gguf(model_dir: Path, file_type: FileType, progress: Progress) -> bool:
    """Have a model's file written unless the cache has it; return whether it had to be.

    Raises:
        UnsupportedModelError: llama.cpp does not run such a model, or none is written of it.
        ModelError: The model's files are damaged.
        ArtifactError: It cannot be written.
    """
    decoder = read_decoder(model_dir)
    Checkpoint(model_dir, decoder)
    if reason := unsupported(decoder):
        raise UnsupportedModelError(reason)
    command = [sys.executable, "-m", __name__, str(model_dir), file_type]
    return build_in_child(command, _recipe(model_dir, file_type), f"writing the weights as GGUF, {file_type}", progress)


def _recipe(model_dir: Path, file_type: FileType) -> Recipe:
    return Recipe(
        method=f"llama-cpp-{file_type.replace('_', '-')}",
        model_digest=model_digest(model_dir, "config.json"),
        options={"type": file_type},
        versions={"layout": _LAYOUT_VERSION, **versions_of("gguf", "xllamacpp")},
    )


def _name(file_type: FileType) -> str:
    return f"{file_type}.gguf"


def _write(model_dir: Path, file_type: FileType, tell: Tell) -> None:
    decoder = read_decoder(model_dir)
    weights = Checkpoint(model_dir, decoder)

    def build(directory: Path) -> None:
        write_gguf(directory / _name(file_type), decoder, weights, file_type, tell)

    needed_bytes = 4 * decoder.vocabulary * decoder.hidden + 2 * weights.parameters
    make_artifact(_recipe(model_dir, file_type), model_dir.name, build, needed_bytes=needed_bytes)


if __name__ == "__main__":
    run_named_build(get_args(FileType), _write)
