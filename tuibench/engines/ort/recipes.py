"""What each method makes out of a checkpoint: options here, the work in the functions that `build` calls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tuibench.models.artifacts import Recipe, as_options, versions_of
from tuibench.models.digest import remembered_sha256
from tuibench.models.folder import weight_files

LAYOUT_VERSION = "1"
"""Raised whenever the graphs built here change, so that older files are not taken for new ones."""


@dataclass(frozen=True, slots=True)
class Fused:
    """FP32 weights in the fused graph."""


@dataclass(frozen=True, slots=True)
class Blockwise:
    """Weights rounded in blocks, activations quantised to INT8 block by block while decoding."""

    body_bits: Literal[4, 8]
    body_block: int
    """Largest block; shorter where it does not divide the rows."""
    head_bits: Literal[4, 8]
    head_block: int
    symmetric: bool = True


@dataclass(frozen=True, slots=True)
class Exported:
    """The PyTorch module as torch.onnx traces it."""

    opset: int = 20


Options = Fused | Blockwise | Exported

OPTIONS: Mapping[str, Options] = {
    "onnx": Exported(),
    "onnx-fused": Fused(),
    "int8-dynamic": Blockwise(body_bits=8, body_block=32, head_bits=8, head_block=32),
    "int4-onnx": Blockwise(body_bits=4, body_block=64, head_bits=8, head_block=64),
}


def recipe_for(method: str, options: Options, model_dir: Path) -> Recipe:
    """Return what identifies a method's files for a model.

    Raises:
        ModelError: The model has no readable weights.
    """
    digest = hashlib.sha256(remembered_sha256(weight_files(model_dir, model_dir.name)).encode())
    digest.update((model_dir / "config.json").read_bytes())
    libraries = ("torch", "transformers", "onnxscript") if isinstance(options, Exported) else ("onnx",)
    return Recipe(
        method=method,
        model_digest=digest.hexdigest(),
        options=as_options(asdict(options)),
        versions={"layout": LAYOUT_VERSION, **versions_of(*libraries)},
    )
