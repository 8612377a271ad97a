"""`int4-onnx`: weights rounded so that what they compute on a calibration text changes least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec
import numpy as np

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.ort.graph.assemble import lay_out, try_graph
from tuibench.engines.ort.graph.builder import GraphBuilder, Value
from tuibench.engines.ort.graph.experts import BlockwiseExperts
from tuibench.engines.ort.graph.info import read_graph_info
from tuibench.engines.ort.graph.projections import BlockwiseProjection, Matrix, WeightTally, add_blockwise
from tuibench.engines.ort.quantise.blockwise import pick_block_size, quantise_blockwise
from tuibench.engines.ort.quantise.calibration import Calibration, Channels
from tuibench.engines.ort.quantise.gptq import quantise_compensated
from tuibench.engines.ort.quantise.smoothing import smooth
from tuibench.engines.ort.recipes import Gptq

_MOMENTS_BYTES = 256_000_000
"""Of moments in memory at once; the text is read again for the next products."""


def write_gptq(
    options: Gptq, fused: Path, model_dir: Path, directory: Path, progress: Progress, n_threads: int
) -> None:
    """Read the text with the FP32 graph, then write the INT4 one.

    Args:
        options: Text and choices.
        fused: Files of the fused FP32 graph.
        model_dir: The model.
        directory: Where to write.
        progress: Told of the phases.
        n_threads: For reading the text.

    Raises:
        CalibrationError: The text cannot be read, or is too short.
        ArtifactError: The finished graph gives no finite numbers.
    """
    decoder = read_decoder(model_dir)
    calibration = Calibration(options, fused, model_dir, decoder, n_threads)
    smoothing = smooth(calibration, Checkpoint(model_dir, decoder), decoder, options.smoothing, progress)
    moments = _Moments(calibration, smoothing.divisors, progress)
    body = _CompensatedProjection(
        options.body_bits, options.body_block, symmetric=options.body_symmetric, moments=moments
    )
    mlp_out = _CompensatedProjection(options.mlp_out_bits, options.mlp_out_block, symmetric=True, moments=moments)
    head = BlockwiseProjection(options.head_bits, options.head_block)
    experts = BlockwiseExperts(options.body_bits, options.body_block)
    lay_out(
        decoder, smoothing.checkpoint, directory, body, experts, {"mlp_out": mlp_out, "head": head}, progress=progress
    )
    # The text is read while the graph is laid out: only now is known what that took.
    notes = calibration.notes("errors made up for by later columns (GPTQ)")
    msgspec.structs.replace(read_graph_info(directory), notes=notes).save(directory)
    del calibration, moments, body  # the FP32 weights of its session, before the graph's own are loaded
    try_graph(directory, decoder, progress)


class _Moments:
    """Second moments of the products' inputs, found for a few products at a time in the order of the graph."""

    def __init__(self, calibration: Calibration, divisors: Mapping[str, Channels], progress: Progress) -> None:
        self._calibration = calibration
        self._divisors = divisors
        self._progress = progress
        self._order = list(calibration.inputs)
        self._found: dict[str, Channels] = {}

    def __getitem__(self, product: str) -> Channels:
        if product not in self._found:
            self._found = {}  # freed before the next ones are made
            self._found = self._calibration.second_moments(self._group_from(product), self._progress)
        divisor = self._divisors.get(product)
        found = self._found[product]
        return found if divisor is None else found / np.outer(divisor, divisor)

    def _group_from(self, first: str) -> list[str]:
        ahead = self._order[self._order.index(first) :]
        sizes = accumulate(4 * self._calibration.widths[name] ** 2 for name in ahead)
        return [name for name, size in zip(ahead, sizes, strict=True) if name == first or size <= _MOMENTS_BYTES]


@dataclass(frozen=True, slots=True)
class _CompensatedProjection:
    """`MatMulNBits` with weights rounded by what their inputs were."""

    bits: int
    largest_block: int
    symmetric: bool
    moments: _Moments

    def __call__(
        self, graph: GraphBuilder, tally: WeightTally, name: str, x: Value, weight: Matrix, bias: Matrix | None
    ) -> Value:
        n_columns = weight.shape[1]
        block = pick_block_size(n_columns, self.largest_block)
        if n_columns % block:
            quantised = quantise_blockwise(weight, self.bits, block, symmetric=self.symmetric)
        else:
            quantised = quantise_compensated(weight, self.moments[name], self.bits, block, symmetric=self.symmetric)
        return add_blockwise(graph, tally, name, x, quantised, weight, bias)
