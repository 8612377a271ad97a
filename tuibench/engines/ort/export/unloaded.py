"""The PyTorch module that is traced, without its weights where these lie in the files as the module holds them.

A trace needs shapes only, and the graph's weights are written one by one: a model whose FP32 form does not fit into
memory can be exported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.decoder.in_transformers import text_part_options
from tuibench.engines.ort.export.cache import ATTENTION
from tuibench.models.folder import read_config

ReadWeight = Callable[[str], NDArray[np.float32] | None]
"""Of a parameter's name in the module; None where the module holds it."""


def module_to_trace(model_dir: Path, decoder: Decoder) -> tuple[Any, ReadWeight]:
    """Return transformers' module, and what reads its weights from the files."""
    text_part = text_part_options(read_config(model_dir, model_dir.name))
    if not (text_part or decoder.experts):  # else their weights are put together from others
        module = _untouched(model_dir)
        weights = Checkpoint(model_dir, decoder)
        if (read := _reader(module, decoder, weights)) is not None:
            return module, read
        del module
    module = AutoModelForCausalLM.from_pretrained(
        model_dir,
        dtype=torch.float32,
        attn_implementation=ATTENTION,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        # Matrices of the experts that a token goes to, one after the other: others loop over those that are hit, which
        # no graph can say.
        **({"experts_implementation": "batched_mm"} if decoder.experts else {}),
        **text_part,
    )
    return module.eval(), lambda _: None


def _untouched(model_dir: Path) -> Any:  # noqa: ANN401 - transformers' own
    """Return the module with memory for its parameters that nothing has touched, so that it takes none."""
    config = AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    with no_init_weights():
        module = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation=ATTENTION, trust_remote_code=False
        )
    module.tie_weights()
    return module.eval()


def _reader(module: Any, decoder: Decoder, weights: Checkpoint) -> ReadWeight | None:  # noqa: ANN401
    """Return what reads every parameter from the files; None if they are not all there, by name and shape."""
    if weights.has_untied_head:
        return None
    names: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        own = name.removeprefix(decoder.prefix)
        if weights.shape(own) == tuple(parameter.shape):
            names.setdefault(id(parameter), own)
    by_name = {name: names.get(id(each)) for name, each in module.named_parameters(remove_duplicate=False)}
    if None in by_name.values() or any(
        weights.shape(name.removeprefix(decoder.prefix)) is not None for name, _ in module.named_buffers()
    ):
        return None

    def read(name: str) -> NDArray[np.float32] | None:
        own = by_name.get(name)
        return None if own is None else weights.stored(own)

    return read
