"""A model's weights as a GGUF file, in one of llama.cpp's types.

The gguf package writes the file, llama.cpp quantises. There is no tokenizer in it: tokens come and go as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.checkpoint import Checkpoint, Matrix
from tuibench.engines.decoder.description import Decoder, Layer, Stored, packed_shape
from tuibench.engines.runtimes.llama_cpp.library import load_library
from tuibench.engines.runtimes.llama_cpp.tensor_types import FILE_TYPE_NUMBERS, FileType, TensorType, tensor_type

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Architecture = Literal["gpt2", "llama", "qwen2", "qwen3"]
_ARCHITECTURES: Mapping[str, Architecture] = {
    "gpt2": "gpt2",
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
"""What llama.cpp calls it, by `model_type`."""
_ROTATED_BY_NEIGHBOURS = "llama"
_ROPES = ("default", "linear", "llama3")
_ROWS_AT_ONCE = 4096
_OUTSIDE_OF_LAYERS = {
    "positions": "position_embd.weight",
    "final_norm": "output_norm.weight",
    "final_norm_bias": "output_norm.bias",
}
_IN_LAYERS: Mapping[str, tuple[str, ...]] = {
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "attention_out": ("attn_output",),
    "mlp_up": ("ffn_gate", "ffn_up"),
    "mlp_down": ("ffn_down",),
    "attention_norm": ("attn_norm",),
    "feed_norm": ("ffn_norm",),
    "query_norm": ("attn_q_norm",),
    "key_norm": ("attn_k_norm",),
}
"""What llama.cpp calls the tensors of a role; of one that is the only one, the last."""


def unsupported(decoder: Decoder) -> str | None:
    """Return why no file of a model is written; None if one can be."""
    if decoder.model_type not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        return f"no GGUF file is written of the architecture {decoder.model_type!r}; known: {known}"
    if any(layer.attention.window is not None for layer in decoder.layers):
        return "no GGUF file is written of a model with a sliding window"
    kind = decoder.rope.get("rope_type", "default")
    if kind not in _ROPES:
        return f"no GGUF file is written of a model with a {kind} rotary embedding; known: {', '.join(_ROPES)}"
    scales = {layer.attention.scale for layer in decoder.layers}
    if scales != {decoder.head_dim**-0.5}:
        return "no GGUF file is written of a model that scales its attention otherwise"
    return None


def write_gguf(
    path: Path, decoder: Decoder, weights: Checkpoint, file_type: FileType, progress: Callable[[int, int], None]
) -> None:
    """Write a file.

    Args:
        path: Of the file.
        decoder: What the model computes.
        weights: Its weights.
        file_type: The type of most tensors.
        progress: Called with tensors written, and tensors in all.

    Raises:
        UnsupportedModelError: llama.cpp, or this function, does not know such a model.
    """
    import gguf

    if reason := unsupported(decoder):
        raise UnsupportedModelError(reason)
    writer = gguf.GGUFWriter(path, _ARCHITECTURES[decoder.model_type])
    for key, value in _metadata(decoder, file_type).items():
        writer.add_key_value(key, value, _value_type(value))
    tensors = list(_tensors(decoder, weights))
    tied = all(tensor.name != "output.weight" for tensor in tensors)
    kinds = [tensor_type(each.name, each.shape, file_type, decoder.n_layers, tied=tied) for each in tensors]
    for tensor, kind in zip(tensors, kinds, strict=True):
        number = gguf.GGMLQuantizationType[kind]
        n_bytes = math.prod(gguf.quant_shape_to_byte_shape(tensor.shape, number))
        writer.add_tensor_info(tensor.name, tensor.shape, _dtype("F32"), n_bytes, number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for index, (tensor, kind) in enumerate(zip(tensors, kinds, strict=True)):
        progress(index, len(tensors))
        writer.write_tensor_data(as_type(tensor.read(), kind))
    writer.close()


def as_type(tensor: Matrix, kind: TensorType) -> NDArray[Any]:
    """Return a tensor in a type; llama.cpp's own functions quantise, a few thousand rows at a time.

    Args:
        tensor: `[outputs, inputs]`, or a vector.
        kind: A quantised type is returned as bytes, `[outputs, bytes a row]`.
    """
    import gguf
    import numpy as np

    if kind in {"F32", "F16"}:
        return np.ascontiguousarray(tensor, dtype=_dtype(kind))
    quantise, number = load_library().functions.ggml_quantize_chunk, gguf.GGMLQuantizationType[kind]
    n_rows, n_inputs = tensor.shape
    found = np.empty(gguf.quant_shape_to_byte_shape((n_rows, n_inputs), number), dtype=np.uint8)
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        rows = np.ascontiguousarray(tensor[start : start + _ROWS_AT_ONCE], dtype=np.float32)
        there = found[start : start + len(rows)]
        quantise(int(number), rows.ctypes.data, there.ctypes.data, 0, len(rows), n_inputs, None)
    return found


def _metadata(decoder: Decoder, file_type: FileType) -> dict[str, Any]:
    attention = decoder.layers[0].attention
    epsilon = "layer_norm_rms_epsilon" if decoder.norm == "rms" else "layer_norm_epsilon"
    of_model: dict[str, Any] = {
        "vocab_size": decoder.vocabulary,
        "context_length": decoder.context_window or 0,
        "embedding_length": decoder.hidden,
        "block_count": decoder.n_layers,
        "feed_forward_length": decoder.layers[0].feed.width,
        "attention.head_count": attention.n_heads,
        "attention.head_count_kv": attention.n_kv_heads,
        f"attention.{epsilon}": float(decoder.norm_epsilon),
    }
    if decoder.rope:
        of_model |= {
            "attention.key_length": attention.head_dim,
            "attention.value_length": attention.head_dim,
            "rope.dimension_count": attention.head_dim,
            "rope.freq_base": float(decoder.rope["rope_theta"]),
        }
    if decoder.rope.get("rope_type") == "linear":
        of_model |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(decoder.rope["factor"])}
    name = _ARCHITECTURES[decoder.model_type]
    metadata = {f"{name}.{key}": value for key, value in of_model.items()}
    return metadata | {"general.file_type": FILE_TYPE_NUMBERS[file_type], "tokenizer.ggml.model": "no_vocab"}


class _Tensor(NamedTuple):
    name: str
    """As llama.cpp knows it."""
    shape: tuple[int, ...]
    read: Callable[[], Matrix]


def _tensors(decoder: Decoder, weights: Checkpoint) -> Iterator[_Tensor]:
    table = (decoder.vocabulary, decoder.hidden)
    yield _Tensor("token_embd.weight", table, lambda: weights.embedding)
    if not decoder.tied_head or weights.has_untied_head:
        yield _Tensor("output.weight", table, lambda: weights.head)
    for role, name in _OUTSIDE_OF_LAYERS.items():
        for stored in decoder.weights.get(role, ()):
            yield _Tensor(name, stored.shape, partial(weights.part, stored))
    if decoder.rope.get("rope_type") == "llama3":
        yield _Tensor("rope_freqs.weight", (decoder.head_dim // 2,), lambda: _llama3_divisors(decoder))
    for index, layer in enumerate(decoder.layers):
        for role in layer.weights:
            for name, stored in _named(role, layer):
                shape = packed_shape((stored,)) if len(stored.shape) > 1 else (stored.n_outputs,)
                yield _Tensor(f"blk.{index}.{name}", shape, partial(_read, decoder, weights, name, stored))


def _named(role: str, layer: Layer) -> Iterator[tuple[str, Stored]]:
    """Yield what llama.cpp calls the tensors of a role."""
    kind = role.removesuffix("_bias")
    stored = layer.weights[role]
    names = ("attn_qkv",) if kind == "qkv" and len(stored) == 1 else _IN_LAYERS[kind][-len(stored) :]
    for name, each in zip(names, stored, strict=True):
        yield f"{name}.{'weight' if kind == role else 'bias'}", each


def _read(decoder: Decoder, weights: Checkpoint, name: str, stored: Stored) -> Matrix:
    tensor = weights.part(stored)
    if name.startswith(("attn_q.", "attn_k.")) and _ARCHITECTURES[decoder.model_type] == _ROTATED_BY_NEIGHBOURS:
        return _as_neighbours(tensor, decoder.head_dim)
    return tensor


def _as_neighbours(tensor: Matrix, head_dim: int) -> Matrix:
    """Return the outputs of each head so that elements which are rotated together stand side by side."""
    halves = tensor.reshape(-1, 2, head_dim // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)


def _llama3_divisors(decoder: Decoder) -> Matrix:
    """Return what each plain frequency is divided by."""
    from tuibench.engines.decoder.rope import rope_frequencies

    plain, _ = rope_frequencies({**decoder.rope, "rope_type": "default"}, decoder.head_dim)
    stretched, _ = rope_frequencies(decoder.rope, decoder.head_dim)
    divisors: Matrix = plain / stretched
    return divisors


def _dtype(kind: TensorType) -> np.dtype[Any]:
    import numpy as np

    return np.dtype({"F32": np.float32, "F16": np.float16}.get(kind, np.uint8))


def _value_type(value: object) -> Any:  # noqa: ANN401 - of a package without types
    import gguf

    kinds = gguf.GGUFValueType
    return {int: kinds.UINT32, float: kinds.FLOAT32, str: kinds.STRING}[type(value)]
