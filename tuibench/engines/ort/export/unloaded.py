"""The PyTorch module that is traced, without its weights where these can be read one by one.

A trace needs shapes only, and the graph's weights are written one by one: a model whose FP32 form does not fit into
memory can be exported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from tuibench.engines.decoder.checkpoint import Checkpoint, Matrix
from tuibench.engines.decoder.description import Decoder, Layer, packed_shape
from tuibench.engines.decoder.in_transformers import text_part_options
from tuibench.engines.ort.export.cache import ATTENTION
from tuibench.models.folder import read_config

ReadWeight = Callable[[str], NDArray[np.float32] | None]
"""Of a parameter's name in the module; None where the module holds it."""


def module_to_trace(model_dir: Path, decoder: Decoder) -> tuple[Any, ReadWeight]:
    """Return transformers' module, and what reads its weights from the files."""
    options: dict[str, Any] = {
        "dtype": torch.float32,
        "attn_implementation": ATTENTION,
        # Matrices of the experts that a token goes to, one after the other: others loop over those that are hit, which
        # no graph can say.
        **({"experts_implementation": "batched_mm"} if decoder.experts else {}),
    }
    text_part = text_part_options(read_config(model_dir, model_dir.name))
    module = _untouched(model_dir, text_part.get("config"), options)
    weights = Checkpoint(model_dir, decoder)
    if (read := _reader(module, decoder, weights)) is not None:
        return module, read
    del module
    module = AutoModelForCausalLM.from_pretrained(
        model_dir, local_files_only=True, use_safetensors=True, trust_remote_code=False, **options, **text_part
    )
    return module.eval(), lambda _: None


def _untouched(model_dir: Path, config: Any, options: dict[str, Any]) -> Any:  # noqa: ANN401 - transformers' own
    """Return the module with memory for its parameters that nothing has touched, so that it takes none."""
    if config is None:
        config = AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    with no_init_weights():
        module = AutoModelForCausalLM.from_config(config, trust_remote_code=False, **options)
    module.tie_weights()
    return module.eval()


def _reader(module: Any, decoder: Decoder, weights: Checkpoint) -> ReadWeight | None:  # noqa: ANN401
    """Return what reads every parameter from the files, and fill the buffers; None if they are not all there."""
    if weights.has_untied_head:
        return None
    found: dict[int, Callable[[], Matrix]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        source = _source(name.removeprefix(decoder.prefix), tuple(parameter.shape), decoder, weights)
        if source is not None:
            found.setdefault(id(parameter), source)
    sources = {name: found.get(id(each)) for name, each in module.named_parameters(remove_duplicate=False)}
    if None in sources.values():
        return None
    for name, buffer in module.named_buffers():  # small: numbers that are not trained
        if weights.shape(own := name.removeprefix(decoder.prefix)) is not None:
            buffer.copy_(torch.tensor(weights.stored(own)))

    def read(name: str) -> NDArray[np.float32] | None:
        source = sources.get(name)
        return None if source is None else source()

    return read


def _source(name: str, shape: tuple[int, ...], decoder: Decoder, weights: Checkpoint) -> Callable[[], Matrix] | None:
    """Return what reads a parameter: the tensor of its name, or what all experts of a layer have, as one array."""
    if weights.shape(name) == shape:
        return partial(weights.stored, name)
    layer = next((each for each in decoder.layers if name.startswith(f"{each.name}.")), None)
    if layer is None or layer.feed.experts is None:
        return None
    n_experts = layer.feed.experts.n_experts
    for role in ("router", "mlp_up", "mlp_down"):  # of three shapes, whatever the sizes are
        n_outputs, n_inputs = packed_shape(layer.weights[role])
        whole = (n_outputs, n_inputs) if role == "router" else (n_experts, n_outputs // n_experts, n_inputs)
        if whole == shape:
            return partial(_together, weights, layer, role, shape)
    return None


def _together(weights: Checkpoint, layer: Layer, role: str, shape: tuple[int, ...]) -> Matrix:
    """Return a role's tensors one below the other, read one by one."""
    array = np.empty(shape, np.float32)
    rows, first = array.reshape(-1, shape[-1]), 0
    for stored in layer.weights[role]:
        part = weights.part(stored)
        rows[first : first + len(part)] = part
        first += len(part)
    return array
