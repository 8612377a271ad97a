"""The one file beside a graph that holds its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

WEIGHTS_FILE = "weights.bin"
_ALIGNMENT = 4096  # a page: what is mapped can be dropped tensor by tensor


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
        np.ascontiguousarray(array).tofile(self._file)
        return start
