"""A GGUF file's header: what it says about itself, and where its tensors lie.

Read before anything else is given the file. Lengths are checked against the file as they are read: what claims more
than the file holds, or more than any model has, is refused with next to no memory.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tuibench.models.local import ModelError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_VALUE_FORMS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_MAX_ENTRIES = 1 << 16
_MAX_TENSORS = 1 << 20
_MAX_ITEMS = 1 << 23
"""Of an array: vocabularies have some 100,000 tokens."""
_MAX_KEPT_ITEMS = 1 << 12
"""Of an array that is kept: one number a layer, never one a token."""
_MAX_STRING_BYTES = 16 << 20
_MAX_DIMENSIONS = 8
_DEFAULT_ALIGNMENT_BYTES = 32
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)

Value = int | float | bool | str | tuple[int | float | bool, ...] | None


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    """Rows first, as torch has it; the file has it the other way round."""
    ggml_type: int
    offset_bytes: int
    """From the beginning of the file."""

    @property
    def n_elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself."""

    path: Path
    metadata: dict[str, Value]
    """Arrays of texts, and arrays with an item per token, are left out: None."""
    array_lengths: dict[str, int]
    tensors: dict[str, StoredTensor]
    n_bytes: int
    """Size of the file."""


def read_header(path: Path) -> Header:
    """Return a file's header, after checking that it is whole and of a size that a model's has.

    Raises:
        ModelError: It is not, or the file is one part of several.
        OSError: The file cannot be read.
    """
    if part := _PART.search(path.name):
        raise _in_parts(path, int(part[2]))
    with path.open("rb") as file:
        walk = _Walk(file, path)
        _check_beginning(walk)
        n_tensors = walk.count("<Q", _MAX_TENSORS, "tensors")
        n_entries = walk.count("<Q", _MAX_ENTRIES, "entries")
        metadata: dict[str, Value] = {}
        array_lengths: dict[str, int] = {}
        for _ in range(n_entries):
            key = walk.string()
            value, n_items = walk.value(walk.number("<I"))
            metadata[key] = value
            if n_items is not None:
                array_lengths[key] = n_items
        tensors = [_tensor(walk) for _ in range(n_tensors)]
        begin = walk.aligned(metadata.get("general.alignment", _DEFAULT_ALIGNMENT_BYTES))
    match metadata.get("split.count"):
        case int(n_parts) if n_parts > 1:
            raise _in_parts(path, n_parts)
    placed = {t.name: StoredTensor(t.name, t.shape, t.ggml_type, begin + t.offset_bytes) for t in tensors}
    if len(placed) < len(tensors):
        raise walk.broken("two of its tensors have the same name")
    return Header(path, metadata, array_lengths, placed, walk.n_bytes)


def _in_parts(path: Path, n_parts: int) -> ModelError:
    return ModelError(
        f"{path.name} is one of {n_parts} parts of a model; join them with `llama-gguf-split --merge FIRST OUT.gguf`"
    )


def _check_beginning(walk: _Walk) -> None:
    if walk.magic() != _MAGIC:
        raise walk.broken("it does not begin with GGUF")
    version = walk.number("<I")
    if version in _VERSIONS:
        return
    name = walk.path.name
    if int.from_bytes(version.to_bytes(4, "big"), "little") in _VERSIONS:
        raise ModelError(f"{name} is a big-endian GGUF file; use the little-endian one, or `gguf-convert-endian`")
    if version == 1:
        raise ModelError(f"{name} is a GGUF file of version 1, of August 2023; convert the model to GGUF again")
    raise walk.broken(f"its version {version} is neither 2 nor 3")


def _tensor(walk: _Walk) -> StoredTensor:
    name = walk.string()
    n_dimensions = walk.count("<I", _MAX_DIMENSIONS, "dimensions")
    lengths = tuple(walk.number("<Q") for _ in range(n_dimensions))
    return StoredTensor(name, lengths[::-1], walk.number("<I"), walk.number("<Q"))


class _Walk:
    """Where we are in a file, and how much of it there is."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self.path = path
        self.n_bytes = path.stat().st_size

    def broken(self, reason: str) -> ModelError:
        return ModelError(f"{self.path.name} is not a usable GGUF file: {reason}; fetch it again")

    def magic(self) -> bytes:
        return self._file.read(len(_MAGIC))

    def number(self, form: str) -> int:
        return int(self._scalar(form))

    def count(self, form: str, most: int, what: str) -> int:
        value = self.number(form)
        if value > most:
            raise self.broken(f"its header claims {value} {what}")
        return value

    def string(self) -> str:
        n_bytes = self.count("<Q", _MAX_STRING_BYTES, "bytes of one text")
        self._check_room(n_bytes)
        return self._file.read(n_bytes).decode(errors="replace")

    def value(self, kind: int) -> tuple[Value, int | None]:
        """Return a value, and the number of its items where it is an array."""
        if kind == _STRING:
            return self.string(), None
        if kind == _ARRAY:
            return self._array()
        if kind not in _VALUE_FORMS:
            raise self.broken(f"it holds a value of unknown type {kind}")
        return self._scalar(_VALUE_FORMS[kind]), None

    def aligned(self, alignment_bytes: Value) -> int:
        """Return where the tensors' data begins."""
        if not isinstance(alignment_bytes, int) or not 0 < alignment_bytes <= 1 << 16:
            raise self.broken(f"its general.alignment is {alignment_bytes!r}")
        return -(-self._file.tell() // alignment_bytes) * alignment_bytes

    def _scalar(self, form: str) -> int | float | bool:
        size = struct.calcsize(form)
        content = self._file.read(size)
        if len(content) < size:
            raise self.broken("its header is cut off")
        value: int | float | bool = struct.unpack(form, content)[0]
        return value

    def _array(self) -> tuple[Value, int]:
        kind = self.number("<I")
        n_items = self.count("<Q", _MAX_ITEMS, "items of an array")
        if kind == _STRING:
            for _ in range(n_items):
                self._skip(self.count("<Q", _MAX_STRING_BYTES, "bytes of one text"))
            return None, n_items
        if kind not in _VALUE_FORMS:
            raise self.broken("it holds an array of arrays, which no model has")
        form = _VALUE_FORMS[kind]
        n_bytes = n_items * struct.calcsize(form)
        self._check_room(n_bytes)
        if n_items > _MAX_KEPT_ITEMS:
            self._skip(n_bytes)
            return None, n_items
        return struct.unpack(f"<{n_items}{form[1]}", self._file.read(n_bytes)), n_items

    def _skip(self, n_bytes: int) -> None:
        self._check_room(n_bytes)
        self._file.seek(n_bytes, 1)

    def _check_room(self, n_bytes: int) -> None:
        if n_bytes > self.n_bytes - self._file.tell():
            raise self.broken("its header is longer than the file")
