"""Matrices of a safetensors folder, mapped into memory and read only where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuibench.models.weights import read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MappedMatrix:
    """One matrix in the type it is stored in."""

    def __init__(self, name: str, stored: NDArray[Any]) -> None:
        self.name = name
        self._stored = stored

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self._stored.shape[0])

    @property
    def is_fp32(self) -> bool:
        """Whether rows come without a copy."""
        return self._stored.dtype.str.endswith("f4")

    def rows(self, start: int, end: int) -> NDArray[np.float32]:
        """Return some rows as FP32; a copy unless they are stored so."""
        import numpy as np

        return np.asarray(self._stored[start:end], dtype=np.float32)


def matrices_of_shape(files: Sequence[Path], shape: tuple[int, int]) -> list[MappedMatrix]:
    """Return a model's floating-point matrices of a shape; output heads, going by their names, come first.

    Args:
        files: Safetensors files.
        shape: Rows and columns.

    Raises:
        ModelError: A file is damaged.
    """
    import ml_dtypes
    import numpy as np

    dtypes = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
    found = []
    for path in files:
        file = read_header(path)
        for name, tensor in file.tensors.items():
            if tensor.shape == shape and tensor.dtype in dtypes:
                start = file.start(name)
                stored = np.memmap(path, dtype=dtypes[tensor.dtype], mode="r", offset=start, shape=shape)
                found.append(MappedMatrix(name, stored))
    return sorted(found, key=lambda matrix: (not any(part in matrix.name for part in ("head", "out")), matrix.name))
