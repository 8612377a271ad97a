"""The numbers of a tensor of a GGUF file, unpacked from whatever type they are stored in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.header import Header, StoredTensor

if TYPE_CHECKING:
    import gguf
    import numpy as np
    from numpy.typing import NDArray


def tensor_values(header: Header, tensor: StoredTensor) -> NDArray[np.float32]:
    """Return a tensor's values as FP32, in its shape.

    Raises:
        ModelError: They lie outside the file, or are of a type that cannot be unpacked.
    """
    import gguf
    import numpy as np

    kind = _kind(tensor)
    n_bytes = stored_bytes(tensor)
    stored = np.memmap(header.path, np.uint8, "r", tensor.offset_bytes, (n_bytes,))
    try:
        values = gguf.dequantize(stored.reshape(-1, _row_bytes(tensor)), kind)
    except NotImplementedError as error:
        raise _unknown(tensor, kind.name) from error
    return np.asarray(values, np.float32).reshape(tensor.shape)


def check_inside(header: Header) -> None:
    """Check that every tensor lies inside the file and has a known type.

    Raises:
        ModelError: One does not, or has not.
    """
    for tensor in header.tensors.values():
        if tensor.n_elements == 0 or tensor.offset_bytes + stored_bytes(tensor) > header.n_bytes:
            raise ModelError(f"the tensor {tensor.name} lies outside the file, which is cut off; fetch it again")


def stored_bytes(tensor: StoredTensor) -> int:
    """Return how much of the file a tensor takes.

    Raises:
        ModelError: It is of an unknown type, or its rows do not fit that.
    """
    return tensor.n_elements // tensor.shape[-1] * _row_bytes(tensor)


def _row_bytes(tensor: StoredTensor) -> int:
    import gguf

    kind = _kind(tensor)
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    if tensor.shape[-1] % block_values:
        raise ModelError(
            f"the tensor {tensor.name} has rows of {tensor.shape[-1]} values, "
            f"which is not a whole number of blocks of {kind.name}"
            "; fetch the file again"
        )
    return int(tensor.shape[-1] // block_values * block_bytes)


def _kind(tensor: StoredTensor) -> gguf.GGMLQuantizationType:
    import gguf

    try:
        return gguf.GGMLQuantizationType(tensor.ggml_type)
    except ValueError as error:
        raise _unknown(tensor, str(tensor.ggml_type)) from error


def _unknown(tensor: StoredTensor, kind: str) -> ModelError:
    return ModelError(f"the tensor {tensor.name} has the type {kind}, which this gguf package cannot unpack; update it")
