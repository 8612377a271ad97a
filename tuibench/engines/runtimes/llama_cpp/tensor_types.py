"""Which type each tensor of a GGUF file gets, as llama.cpp's own quantiser mixes them.

The rules are those of `llama_tensor_get_type` in `src/llama-quant.cpp`, without an importance matrix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

FileType = Literal["f16", "q8_0", "q4_0", "q4_k_m"]
TensorType = Literal["F32", "F16", "Q4_0", "Q4_K", "Q5_0", "Q6_K", "Q8_0"]
FILE_TYPE_NUMBERS: Mapping[FileType, int] = {"f16": 1, "q8_0": 7, "q4_0": 2, "q4_k_m": 15}
"""`llama_ftype`, as `general.file_type` says it."""
_DEFAULT: Mapping[FileType, TensorType] = {"f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0", "q4_k_m": "Q4_K"}
_BLOCK: Mapping[TensorType, int] = {"F32": 1, "F16": 1, "Q4_0": 32, "Q5_0": 32, "Q8_0": 32, "Q4_K": 256, "Q6_K": 256}
_SMALLER_BLOCKS: Mapping[TensorType, TensorType] = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}


def tensor_type(name: str, shape: tuple[int, ...], wanted: FileType, n_layers: int, *, tied: bool) -> TensorType:
    """Return the type of a tensor.

    Args:
        name: As GGUF calls it.
        shape: `[outputs, inputs]`.
        wanted: Type of the file.
        n_layers: Of the model.
        tied: Whether the embedding is the output head, too.
    """
    if len(shape) == 1 or name.endswith("_norm.weight") or name == "position_embd.weight":
        return "F32"
    chosen = _DEFAULT[wanted]
    if chosen == "F16":
        return chosen
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        chosen = _of_head(chosen, shape[1])
    elif wanted == "q4_k_m" and (layer := re.match(r"blk\.(\d+)\.(attn_v|attn_qkv|ffn_down)\.weight", name)):
        chosen = "Q6_K" if _has_more_bits(int(layer[1]), n_layers) else chosen
    if shape[1] % _BLOCK[chosen]:
        chosen = _SMALLER_BLOCKS.get(chosen, chosen)
    return chosen if shape[1] % _BLOCK[chosen] == 0 else "F16"


def _of_head(chosen: TensorType, n_inputs: int) -> TensorType:
    return "Q8_0" if chosen == "Q8_0" or n_inputs % _BLOCK[chosen] else "Q6_K"


def _has_more_bits(layer: int, n_layers: int) -> bool:
    """Return whether a layer is in the first or last eighth, or every third between."""
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2  # noqa: PLR2004
