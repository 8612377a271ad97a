"""Turns a checkpoint into a finished graph of one precision."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tuibench.engines.base import Progress
from tuibench.engines.decoder.checkpoint import Checkpoint
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.decoder.read import read_decoder
from tuibench.engines.first_steps import are_logits
from tuibench.engines.ort.graph.builder import GraphBuilder
from tuibench.engines.ort.graph.experts import ExpertsOperator, Fp32Experts
from tuibench.engines.ort.graph.gpt2 import add_gpt2
from tuibench.engines.ort.graph.info import GraphInfo, read_graph_info
from tuibench.engines.ort.graph.layout import Layout
from tuibench.engines.ort.graph.llama import add_llama
from tuibench.engines.ort.graph.projections import Fp32Projection, Projection
from tuibench.models.artifacts import ArtifactError

PROBE_TOKENS = 8


def write_fused(model_dir: Path, directory: Path, progress: Progress) -> None:
    """Write the FP32 graph, weights and what is known of them into a folder, and try them once.

    Raises:
        ArtifactError: The finished graph gives no finite numbers.
    """
    decoder = read_decoder(model_dir)
    checkpoint = Checkpoint(model_dir, decoder)
    lay_out(decoder, checkpoint, directory, Fp32Projection(), Fp32Experts(), {}, progress=progress)
    try_graph(directory, decoder, progress, mapped=True)


def lay_out(
    decoder: Decoder,
    checkpoint: Checkpoint,
    directory: Path,
    projection: Projection,
    experts: ExpertsOperator,
    special: Mapping[str, Projection],
    *,
    progress: Progress,
    notes: Mapping[str, str] = {},
) -> None:
    """Write a graph with the given products and experts, its weights and its counts."""
    graph = GraphBuilder(directory)
    layout = Layout(graph, decoder, checkpoint, projection, experts, special, progress=progress)
    with graph:
        (add_llama if decoder.rope else add_gpt2)(layout)
        graph.save()
    tally = layout.tally
    GraphInfo(
        nodes=dict(Counter(graph.operators)),
        products=tally.operators,
        quantised_weights=tally.quantised,
        unquantised_weights=tally.unquantised,
        read_bytes=tally.read_bytes,
        parameters=checkpoint.parameters,
        notes=dict(notes),
    ).save(directory)


def try_graph(directory: Path, decoder: Decoder, progress: Progress, *, mapped: bool = False) -> None:
    """Run a few tokens, and note which kernels a decoded token went through.

    Args:
        directory: The finished graph.
        decoder: What it computes.
        progress: Told that it is tried.
        mapped: Whether its weights stay in their file: right for FP32 alone, as integer kernels need their order.

    Raises:
        ArtifactError: A logit is not a number, or none of a position is finite.
    """
    from tuibench.engines.ort.graph.kernels import read_profile
    from tuibench.engines.ort.session import DecoderSession, mapped_session_options, session_options

    progress("trying the graph", 0, None)
    options = mapped_session_options(1) if mapped else session_options(1)
    options.enable_profiling = True
    options.profile_file_prefix = str(directory / "profile")
    session = DecoderSession(directory, decoder, options)
    n_tokens = int(min(PROBE_TOKENS, decoder.vocabulary - 1, (decoder.context_window or math.inf) - 1))
    sound = are_logits(session.prefill(range(n_tokens), n_tokens + 1)) and are_logits(session.decode(0))
    kernels = dict(Counter(kernel.operator for kernel in read_profile(session.end_profiling())[-1]))
    if not sound:
        raise ArtifactError("the finished graph gives logits that are not finite; the weights do not stand this method")
    msgspec.structs.replace(read_graph_info(directory), kernels=kernels).save(directory)
