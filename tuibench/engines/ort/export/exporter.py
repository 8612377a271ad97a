"""The PyTorch module as torch.onnx traces it: no operator is fused, nothing is computed ahead.

Only the weights are laid out as `MatMul` reads them; otherwise every token would transpose all of them.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from tuibench.engines.base import Progress
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.ort.export.cache import buffered_cache
from tuibench.engines.ort.export.simplify import simplify
from tuibench.engines.ort.export.trial import try_plain
from tuibench.engines.ort.export.unloaded import ReadWeight, module_to_trace
from tuibench.engines.ort.graph.info import MODEL_FILE, GraphInfo
from tuibench.engines.ort.graph.weights_file import WEIGHTS_FILE, WeightsFile
from tuibench.engines.ort.recipes import Exported
from tuibench.engines.ort.unfused_session import cache_names
from tuibench.models.artifacts import ArtifactError

_CAPACITY, _N_TOKENS, _N_KEPT = 7, 3, 2
"""Example lengths; neither 0 nor 1, which torch.export would take for constants."""
_INLINE_ELEMENTS = 256
_MODEL = "model."
"""What `_Step` puts before its parameters' names."""


class _Step(torch.nn.Module):  # type: ignore[misc]  # torch ships no types that are followed here
    """The model with its cache as plain tensors: `[key 0, value 0, key 1, …]`."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers' own
        super().__init__()
        self.model = model

    def forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, kept: torch.Tensor, past: list[torch.Tensor]
    ) -> tuple[Any, ...]:
        cache = buffered_cache(past, positions[0])
        output = self.model(input_ids=tokens, position_ids=positions, cache=cache, use_cache=True, logits_to_keep=kept)
        present = [tensor for layer in output.cache.layers for tensor in (layer.keys, layer.values)]
        return (output.logits, *present)


def write_plain(options: Exported, model_dir: Path, directory: Path, progress: Progress) -> None:
    """Write the exported graph, its weights and its counts into a folder.

    Raises:
        ArtifactError: The export failed, or the exported graph gives no finite numbers.
    """
    decoder = read_decoder(model_dir)
    progress("making the PyTorch model", 0, 5)
    model, read_weight = module_to_trace(model_dir, decoder)
    parameters = model.num_parameters()
    try:
        exported = _export(model, decoder, options.opset, progress)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ArtifactError(f"torch.onnx cannot export {decoder.model_type}: {reason}") from error
    del model
    progress("writing weights", 3, 5)
    _write(exported, read_weight, directory, parameters, decoder).save(directory)
    writing_nodes = [_producer(value) for value in exported.graph.outputs[1:]]
    del exported
    gc.collect()  # traces are full of cycles; the weights they hold would lie beside those of the session
    progress("trying the graph", 4, 5)
    try_plain(directory, decoder, writing_nodes, options.timed_lengths)


def _export(model: Any, decoder: Decoder, opset: int, progress: Progress) -> ir.Model:  # noqa: ANN401
    progress("tracing the PyTorch model", 1, 5)
    capacity, n_tokens, n_kept = (torch.export.Dim(name) for name in ("capacity", "n_tokens", "n_kept"))
    # Each one its own: a tensor that is given twice is traced as one input.
    past = [
        torch.zeros(1, attention.n_kv_heads, 1, *size)
        for attention in decoder.caching.values()
        for size in ((attention.head_dim, _CAPACITY), (_CAPACITY, attention.head_dim))
    ]
    tokens = torch.zeros(1, _N_TOKENS, dtype=torch.long)
    positions = torch.arange(_N_TOKENS)[None]
    with torch.no_grad():
        program = torch.export.export(
            _Step(model),
            (tokens, positions, torch.arange(_N_KEPT), past),
            dynamic_shapes=(
                {1: n_tokens},
                {1: n_tokens},
                {0: n_kept},
                [{4: capacity}, {3: capacity}] * len(decoder.caching),
            ),
        )
    simplify(program)
    progress("translating to ONNX", 2, 5)
    try:
        with _without_decomposition(program):
            return _translate(program, decoder, opset)
    except torch.onnx.errors.OnnxExporterError:
        return _translate(program, decoder, opset)


def _translate(program: torch.export.ExportedProgram, decoder: Decoder, opset: int) -> ir.Model:
    result = torch.onnx.export(
        program,
        input_names=["tokens", "positions", "kept", *cache_names("past", decoder)],
        output_names=["logits", *cache_names("present", decoder)],
        dynamo=True,
        optimize=False,
        verify=False,
        opset_version=opset,
    )
    if result is None:
        raise ArtifactError("torch.onnx returned no graph")
    model: ir.Model = result.model
    return model


@contextmanager
def _without_decomposition(program: torch.export.ExportedProgram) -> Iterator[None]:
    """Have torch.onnx take a program as it is.

    It would trace it a second time, half of the export's time, to decompose operators that it can translate anyway.
    """
    program.run_decompositions = lambda *_, **__: program
    try:
        yield
    finally:
        del program.run_decompositions


def _producer(value: ir.Value) -> str:
    """Return the name of the node that computes a value."""
    node = value.producer()
    return (node.name if node is not None else None) or ""


def _write(model: ir.Model, read_weight: ReadWeight, directory: Path, parameters: int, decoder: Decoder) -> GraphInfo:
    graph = model.graph
    for node in graph:
        node.metadata_props.clear()  # a stack trace each: most of the file
    with WeightsFile(directory) as file:
        _store_transposed(graph, read_weight, file)
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                continue
            values = _values(value, read_weight)
            small = values.size <= _INLINE_ELEMENTS
            value.const_value = ir.tensor(values, name=value.name) if small else _stored(value, values, file)
    (directory / MODEL_FILE).write_bytes(ir.to_proto(model).SerializeToString())
    seconds = [node.inputs[1] for node in graph if node.op_type in {"MatMul", "Gemm"}]
    weights = [value.const_value for value in seconds if value is not None and value.is_initializer()]
    sizes = [tensor.size for tensor in weights if tensor is not None]
    n_expert, n_active = _expert_weights(decoder)
    return GraphInfo(
        nodes=dict(Counter(node.op_type for node in graph if node.op_type != "Constant")),
        products={"FP32": len(sizes)},
        quantised_weights=0,
        unquantised_weights=sum(sizes) + n_expert,
        read_bytes=4 * (sum(sizes) + n_active),
        parameters=parameters,
    )


def _expert_weights(decoder: Decoder) -> tuple[int, int]:
    """Return how many weights all experts have, and how many those that a token goes to; they are gathered."""
    experts = decoder.experts
    if experts is None:
        return 0, 0
    n_expert, n_active = (
        sum(layer.expert_weights(n) for layer in decoder.layers) for n in (experts.n_experts, experts.n_active)
    )
    return n_expert, n_active


def _values(value: ir.Value, read_weight: ReadWeight) -> np.ndarray[Any, Any]:
    """Return the values of an initializer, whose name is that of a parameter of `_Step` if it is one."""
    assert value.name is not None  # noqa: S101 - initializers have names
    assert value.const_value is not None  # noqa: S101 - and values
    weight = read_weight(value.name.removeprefix(_MODEL))
    return value.const_value.numpy() if weight is None else weight


def _store_transposed(graph: ir.Graph, read_weight: ReadWeight, file: WeightsFile) -> None:
    """Replace each `Transpose` of a weight by the transposed weight, and remove those that change nothing."""
    done: dict[str, ir.Value] = {}
    for node in list(graph):
        source = node.inputs[0] if node.op_type == "Transpose" else None
        if source is None:
            continue
        axes = node.attributes["perm"].as_ints()
        if list(axes) == sorted(axes):
            node.outputs[0].replace_all_uses_with(source)
            graph.remove(node, safe=True)
            continue
        if not source.is_initializer() or source.name is None:
            continue
        if source.name not in done:
            value = ir.Value(name=f"{source.name}.transposed", type=source.type)
            value.const_value = _stored(value, _values(source, read_weight).transpose(axes), file)
            value.shape = value.const_value.shape
            graph.initializers.add(value)
            done[source.name] = value
        node.outputs[0].replace_all_uses_with(done[source.name])
        graph.remove(node, safe=True)
        if not source.uses():
            graph.initializers.pop(source.name)


def _stored(value: ir.Value, array: np.ndarray[Any, Any], file: WeightsFile) -> ir.ExternalTensor:
    assert value.name is not None  # noqa: S101 - initializers have names
    return ir.ExternalTensor(
        WEIGHTS_FILE,
        file.append(array),
        array.nbytes,
        ir.DataType.from_numpy(array.dtype),
        shape=ir.Shape(array.shape),
        name=value.name,
    )
