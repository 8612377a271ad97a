"""Tensors of a safetensors folder as FP32 arrays, mapped into memory and read only when asked for."""

from __future__ import annotations

import math
from pathlib import Path

import ml_dtypes
import msgspec
import numpy as np
from numpy.typing import NDArray

from tuibench.engines.base import UnsupportedModelError
from tuibench.models.folder import weight_files
from tuibench.models.weights import read_header

Matrix = NDArray[np.float32]
_DTYPES: dict[str, np.dtype[np.generic]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_PREFIX_BYTES = 8


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class Checkpoint:
    """The weights of one model; names are the checkpoint's, without the base model's prefix."""

    def __init__(self, model_dir: Path) -> None:
        """Read the headers.

        Raises:
            ModelError: A file is missing or damaged.
        """
        self._places: dict[str, tuple[Path, int, _Entry]] = {}
        for path in weight_files(model_dir, model_dir.name):
            read_header(path)  # checks sizes and places
            for name, place in _entries(path).items():
                # `GPT2Model` saves "h.0.…", `GPT2LMHeadModel` "transformer.h.0.…"; Llama's prefix is "model.".
                self._places[name.removeprefix("transformer.").removeprefix("model.")] = (path, *place)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(entry.shape) for _, _, entry in self._places.values())

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Matrix:
        """Return a tensor in FP32; only pages that are used take memory while the file is FP32 itself."""
        if name not in self._places:
            raise UnsupportedModelError(f"the checkpoint lacks {name}, which this architecture needs")
        path, start, entry = self._places[name]
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None:
            raise UnsupportedModelError(
                f"{name} is stored as {entry.dtype}; use the model's FP32, FP16 or BF16 version"
            )
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=start, shape=tuple(entry.shape))
        return np.asarray(mapped, dtype=np.float32)

    def get(self, name: str) -> Matrix | None:
        """Return a tensor, or None where the model has no such weight."""
        return self[name] if name in self._places else None


def _entries(path: Path) -> dict[str, tuple[int, _Entry]]:
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(_PREFIX_BYTES), "little")
        raw = msgspec.json.decode(file.read(header_bytes), type=dict[str, msgspec.Raw])
    raw.pop("__metadata__", None)
    entries = {name: msgspec.json.decode(value, type=_Entry) for name, value in raw.items()}
    data = _PREFIX_BYTES + header_bytes
    return {name: (data + entry.data_offsets[0], entry) for name, entry in entries.items()}
