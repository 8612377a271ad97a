"""What is known of a finished graph, kept beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec

MODEL_FILE = "model.onnx"
INFO_FILE = "graph.json"


class GraphInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one graph."""

    nodes: dict[str, int]
    """Number of nodes by operator, as stored."""
    products: dict[str, int]
    """Matrix products by the way they are computed."""
    quantised_weights: int
    unquantised_weights: int
    """Weights of matrix products; norms and biases are not counted."""
    read_bytes: int
    """Bytes of weights that one decoded token has to read."""
    parameters: int
    kernels: dict[str, int] = {}
    """What ONNX Runtime made of the nodes here: kernels that ran for one decoded token, by operator."""
    notes: dict[str, str] = {}
    """Facts that only the builder knows: calibration, what was kept in higher precision."""

    def save(self, directory: Path) -> None:
        """Write it beside the graph."""
        (directory / INFO_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self)))


def read_graph_info(directory: Path) -> GraphInfo:
    """Return what was saved beside a graph."""
    return msgspec.json.decode((directory / INFO_FILE).read_bytes(), type=GraphInfo)
