"""Short convolutions over the last positions (LFM2); what they read again lies in a cache with a row a position.

A position's row is `width - 1` places behind it, after as many rows of zeros: what lies before a text. Like keys and
values, rows are written in place and forgotten by writing over them.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tuibench.engines.ort.graph.builder import Value
from tuibench.engines.ort.graph.layout import Layout


def declare_convolutions(layout: Layout) -> None:
    """Add the caches, and the places of the rows that a position reads: `convolved_rows.0` up to its own."""
    graph, convolving = layout.graph, layout.decoder.convolving
    if not convolving:
        return
    for index, each in convolving.items():
        shape: list[int | str] = ["n_rows", f"capacity_{each.width}", layout.decoder.hidden]
        graph.input(f"past.{index}.rows", TensorProto.FLOAT, shape)
        graph.output(f"present.{index}.rows", TensorProto.FLOAT, shape)
    zero, one = (graph.weight(f"convolved.{each}", np.array(each, np.int64)) for each in (0, 1))
    last = graph.weight("convolved.last", np.array([-1], np.int64))
    shape_of_rows = graph.node("Shape", ["positions"], ["convolved.shape"], start=0, end=1)
    n_rows = graph.node("Squeeze", [shape_of_rows], ["convolved.n_rows"])
    sequences = graph.node("Range", [zero, n_rows, one], ["convolved.sequences"])
    column = graph.node("Unsqueeze", [sequences, last], ["convolved.column"])
    zeros = graph.node("Mul", ["positions", zero], ["convolved.zeros"])
    spread = graph.node("Add", [column, zeros], ["convolved.spread"])
    sequence = graph.node("Unsqueeze", [spread, last], ["convolved.sequence"])
    for offset in range(max(each.width for each in convolving.values())):
        by = graph.weight(f"convolved.offset_{offset}", np.array(offset, np.int64))
        place = graph.node("Add", ["positions", by], [f"convolved.place_{offset}"])
        deep = graph.node("Unsqueeze", [place, last], [f"convolved.deep_{offset}"])
        graph.node("Concat", [sequence, deep], [f"convolved_rows.{offset}"], axis=-1)


def add_convolution(layout: Layout, index: int, x: Value) -> Value:
    """Add a layer's convolution: see `ShortConvolution`."""
    graph, prefix, width = layout.graph, f"layers.{index}", layout.decoder.convolving[index].width
    weight, bias = layout.read(index, "conv_in"), layout.read_any(index, "conv_in_bias")
    opened = layout.project(f"{prefix}.conv_in", x, weight, bias)
    before, after, read = f"{prefix}.before", f"{prefix}.after", f"{prefix}.read"
    graph.node("Split", [opened], [before, after, read], axis=-1, num_outputs=3)
    gated = graph.node("Mul", [before, read], [f"{prefix}.rows"])
    cached = f"present.{index}.rows"
    graph.node("ScatterND", [f"past.{index}.rows", f"convolved_rows.{width - 1}", gated], [cached])
    kernel = layout.read(index, "conv_kernel")[:, 0]
    layout.tally.read_bytes += kernel.nbytes
    terms = []
    for offset in range(width):
        rows = gated  # its own row
        if offset < width - 1:
            rows = graph.node("GatherND", [cached, f"convolved_rows.{offset}"], [f"{prefix}.rows_{offset}"])
        factor = graph.weight(f"{prefix}.kernel_{offset}", np.ascontiguousarray(kernel[:, offset]))
        terms.append(graph.node("Mul", [rows, factor], [f"{prefix}.term_{offset}"]))
    if (added := layout.read_any(index, "conv_kernel_bias")) is not None:
        terms.append(graph.weight(f"{prefix}.kernel_bias", added))
    convolved = graph.node("Sum", terms, [f"{prefix}.convolved"])
    mixed = graph.node("Mul", [after, convolved], [f"{prefix}.mixed"])
    weight, bias = layout.read(index, "conv_out"), layout.read_any(index, "conv_out_bias")
    return layout.project(f"{prefix}.conv_out", mixed, weight, bias)
