"""Compiles a part of the kernels into a file: `python -m tuibench.engines.fused.compile_ahead int8-tokens FOLDER`.

Numba compiles one function at a time, so the parts are made by several processes; nothing is measured yet.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.buffers import FEW, new_prompt, new_scratch
from tuibench.engines.fused.cache import Cache, new_store
from tuibench.engines.fused.decode import decode_tokens
from tuibench.engines.fused.emitting import object_file
from tuibench.engines.fused.kernels.packing import block_ranges, bytes_in_use, pack_fp32, pack_int4, pack_int8
from tuibench.engines.fused.kernels.team import give_order, next_parked
from tuibench.engines.fused.layout import kind_of
from tuibench.engines.fused.machine_code import Content, write_code
from tuibench.engines.fused.matrices import Absent
from tuibench.engines.fused.model import TOY_WIDTH, toy_model
from tuibench.engines.fused.packing import EMPTY
from tuibench.engines.fused.prefill import prefill_prompt, score_block

_Entries = list[tuple[Any, tuple[Any, ...]]]
"""Functions, and arguments of the kinds that they are compiled for: what matters is the kind, not the size."""
_TEAM = np.zeros(64, np.int64)


def _common() -> _Entries:
    weights, of_rows, of_blocks = _zeros(np.float32, 2), _zeros(np.float32, 2), _zeros(np.float32, 3)
    bits = weights.view(np.uint32)
    return [
        (give_order, (_TEAM, 0, 1)),
        (next_parked, (_TEAM, 0)),
        (bytes_in_use, (bits,)),
        (pack_fp32, (bits, _zeros(np.uint8, 4))),
        (pack_int8, (weights, _zeros(np.int8, 4), of_rows, _zeros(np.int8, 1))),
        (block_ranges, (weights, of_blocks, of_blocks)),
        (pack_int4, (weights, of_blocks, of_blocks, _zeros(np.uint16, 3), _zeros(np.uint16, 1))),
    ]


def _zeros(dtype: type[Any], n_dimensions: int) -> NDArray[Any]:
    return np.zeros((1,) * n_dimensions, dtype)


def _of_a_precision(precision: str, part: str, models: str = "") -> _Entries:
    model = toy_model(EMPTY[precision], varied=bool(models))
    angles = np.zeros((1, 2, TOY_WIDTH // 2), np.float32)
    store = new_store(model.qkv, 1, 2, TOY_WIDTH)
    cache = Cache(store, Absent(), angles, angles, Absent())
    if models:
        cache = Cache(store, store, angles, angles, np.zeros((1, 2, TOY_WIDTH), np.float32))
    scratch, logits = new_scratch(model, 1, 2), np.zeros((1, TOY_WIDTH), np.float32)
    if part == "tokens":
        return [(decode_tokens, (0, 1, _TEAM, 0, model, cache, scratch, logits))]
    prompt = new_prompt(model, np.zeros((1, TOY_WIDTH), np.float32), np.zeros((1, 0), np.float32), 1)
    return [
        (prefill_prompt, (0, 1, _TEAM, 0, model, cache, scratch, logits, prompt)),
        (score_block, (0, 1, _TEAM, 0, model, prompt, 1, np.zeros((FEW, TOY_WIDTH), np.float32))),
    ]


def main() -> None:
    """Compile, and write the file."""
    part, folder = sys.argv[1:]
    entries = _common() if part == "common" else _of_a_precision(*part.split("-"))
    kinds = {function.__name__: [kind_of(argument) for argument in arguments] for function, arguments in entries}
    write_code(Path(folder) / part, Content(kinds, object_file(part, entries)))


if __name__ == "__main__":
    main()
