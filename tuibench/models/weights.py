"""What a safetensors file holds, read from its header alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tuibench.models.local import ModelError

_PREFIX_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
_ITEM_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


class StoredTensor(msgspec.Struct, frozen=True):
    """One tensor of a safetensors file."""

    dtype: str
    """`F32`, `BF16`, …"""
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]
    """From the end of the header."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One safetensors file."""

    path: Path
    n_bytes: int
    """Of the whole file."""
    tensors: dict[str, StoredTensor]
    data_start: int
    """Where the header ends."""

    @property
    def elements(self) -> dict[str, int]:
        """Number of elements by type (F32, BF16, …)."""
        counted: dict[str, int] = {}
        for tensor in self.tensors.values():
            counted[tensor.dtype] = counted.get(tensor.dtype, 0) + math.prod(tensor.shape)
        return counted

    def start(self, name: str) -> int:
        """Return where in the file a tensor begins."""
        return self.data_start + self.tensors[name].data_offsets[0]


def read_header(path: Path) -> WeightFile:
    """Return what a safetensors file says about itself, after checking that the file is as long as it says.

    Raises:
        ModelError: The file is not a safetensors file, or is cut off.
    """
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(_PREFIX_BYTES), "little")
        room = n_bytes - _PREFIX_BYTES
        if not 0 < header_bytes <= min(room, _MAX_HEADER_BYTES):
            raise _broken(path, f"its header claims {header_bytes} bytes of {max(room, 0)}")
        text = file.read(header_bytes)
    try:
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        tensors = {name: msgspec.json.decode(value, type=StoredTensor) for name, value in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(path, f"its header is not valid: {error}") from error
    _check(path, tensors, room - header_bytes)
    return WeightFile(path, n_bytes, tensors, _PREFIX_BYTES + header_bytes)


def _check(path: Path, tensors: dict[str, StoredTensor], data_bytes: int) -> None:
    if not tensors:
        raise _broken(path, "it holds no tensor")
    for name, tensor in tensors.items():
        start, end = tensor.data_offsets
        n_elements = math.prod(tensor.shape)
        bits = _ITEM_BITS.get(tensor.dtype)
        # Types that are newer than this table cannot be checked for size, only for place.
        if bits is not None and n_elements * bits != (end - start) * 8:
            raise _broken(path, f"the size of tensor {name!r} does not fit its shape")
        if not 0 <= start <= end <= data_bytes or any(length < 0 for length in tensor.shape):
            raise _broken(path, f"tensor {name!r} lies outside the file; the file is cut off or damaged")


def _broken(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path.name} is not a usable safetensors file: {reason}; fetch it again")
