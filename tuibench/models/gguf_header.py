"""A GGUF file's header, walked through before a library is given the file.

The library makes Python objects of all that the header claims. Here lengths are only added up: what claims more than
the file holds, or more than any model has, is refused with next to no memory.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from tuibench.models.local import ModelError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_MAX_ENTRIES = 1 << 16
_MAX_TENSORS = 1 << 20
_MAX_ITEMS = 1 << 23
"""Of an array: vocabularies have some 100,000 tokens."""
_MAX_STRING_BYTES = 16 << 20
_MAX_DIMENSIONS = 8


def check_header(path: Path) -> None:
    """Check that a file's header is whole and of a size that a model's has.

    Raises:
        ModelError: It is not.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        walk = _Walk(file, path)
        if file.read(4) != _MAGIC:
            raise walk.broken("it does not begin with GGUF")
        if (version := walk.number("<I")) not in _VERSIONS:
            raise walk.broken(f"its version {version} is none of {_VERSIONS}")
        n_tensors = walk.count("<Q", _MAX_TENSORS, "tensors")
        n_entries = walk.count("<Q", _MAX_ENTRIES, "entries")
        for _ in range(n_entries):
            walk.string()
            walk.value(walk.number("<I"))
        for _ in range(n_tensors):
            walk.string()
            n_dimensions = walk.count("<I", _MAX_DIMENSIONS, "dimensions")
            walk.skip(8 * n_dimensions + 4 + 8)  # lengths, type, place


class _Walk:
    """Where we are in a file, and how much of it there is."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._n_bytes = path.stat().st_size

    def broken(self, reason: str) -> ModelError:
        return ModelError(f"{self._path.name} is not a usable GGUF file: {reason}; fetch it again")

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        content = self._file.read(size)
        if len(content) < size:
            raise self.broken("its header is cut off")
        (value,) = struct.unpack(form, content)
        return int(value)

    def count(self, form: str, most: int, what: str) -> int:
        value = self.number(form)
        if value > most:
            raise self.broken(f"its header claims {value} {what}")
        return value

    def skip(self, n_bytes: int) -> None:
        if n_bytes > self._n_bytes - self._file.tell():
            raise self.broken("its header is longer than the file")
        self._file.seek(n_bytes, 1)

    def string(self) -> None:
        self.skip(self.count("<Q", _MAX_STRING_BYTES, "bytes of one text"))

    def value(self, kind: int) -> None:
        if kind == _STRING:
            self.string()
        elif kind == _ARRAY:
            self._array()
        elif kind in _VALUE_BYTES:
            self.skip(_VALUE_BYTES[kind])
        else:
            raise self.broken(f"it holds a value of unknown type {kind}")

    def _array(self) -> None:
        kind = self.number("<I")
        n_items = self.count("<Q", _MAX_ITEMS, "items of an array")
        if kind == _STRING:
            for _ in range(n_items):
                self.string()
        elif kind in _VALUE_BYTES:
            self.skip(n_items * _VALUE_BYTES[kind])
        else:
            raise self.broken("it holds an array of arrays, which no model has")
