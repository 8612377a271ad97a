"""The one file beside a graph that holds its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

WEIGHTS_FILE = "weights.bin"
_ALIGNMENT = 4096  # a page: what is mapped can be dropped tensor by tensor
_COPIED_BYTES = 16_000_000
"""Of a tensor whose rows do not lie together in memory, as a transposed one's: as much is copied at a time."""


class WeightsFile:
    """Written tensor by tensor, so that one is in memory at a time."""

    def __init__(self, directory: Path) -> None:
        self._file = (directory / WEIGHTS_FILE).open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, array: NDArray[Any]) -> int:
        """Write a tensor and return where it starts."""
        self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
        start = self._file.tell()
        if array.flags.c_contiguous:
            array.tofile(self._file)
            return start
        n_rows = max(1, _COPIED_BYTES * len(array) // array.nbytes)
        for first in range(0, len(array), n_rows):
            np.ascontiguousarray(array[first : first + n_rows]).tofile(self._file)
        return start
