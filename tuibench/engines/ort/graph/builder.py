"""A graph under construction, its weights streamed to one file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tuibench.engines.ort.graph.info import MODEL_FILE
from tuibench.engines.ort.graph.weights_file import WEIGHTS_FILE, WeightsFile

CONTRIB = "com.microsoft"
"""ONNX Runtime's own operators."""

_OPSET = 21
_IR_VERSION = 10
_INLINE_BYTES = 1024
Value = str
"""A value is known by its name; the empty name stands for an input left out."""


class GraphBuilder:
    """Collects nodes, and writes weights to disk as they come, so that one tensor is in memory at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._names: set[str] = set()
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._weights = WeightsFile(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._weights.__exit__()

    @property
    def operators(self) -> list[str]:
        """The operator of each node."""
        return [node.op_type for node in self._nodes]

    def input(self, name: str, dtype: int, shape: Sequence[int | str]) -> Value:
        """Declare an input of the graph."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, dtype: int, shape: Sequence[int | str]) -> None:
        """Declare that a value is an output of the graph."""
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def weight(self, name: str, array: NDArray[Any], dtype: int | None = None) -> Value:
        """Store a constant under a name; the second call with a name gives the first one's value.

        Args:
            name: Unique in the graph.
            array: Its content.
            dtype: Type of the elements where the array holds packed ones.
        """
        if name in self._names:
            return name
        self._names.add(name)
        if array.nbytes <= _INLINE_BYTES:
            self._initializers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name
        start = self._weights.append(array)
        tensor = TensorProto(
            name=name,
            dims=array.shape,
            data_type=dtype or helper.np_dtype_to_tensor_dtype(array.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", WEIGHTS_FILE), ("offset", start), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        self._initializers.append(tensor)
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        domain: str = "",
        **attributes: float | str,
    ) -> Value:
        """Add a node and return its first output."""
        node = helper.make_node(operator, inputs, outputs, outputs[0], domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return outputs[0]

    def save(self) -> None:
        """Write the graph beside its weights."""
        graph = helper.make_graph(self._nodes, "decoder", self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="tuibench")
        (self._directory / MODEL_FILE).write_bytes(model.SerializeToString())
