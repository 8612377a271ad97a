"""Tries an exported graph: whether its numbers are finite, and what writing into its KV-cache costs."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from tuibench.engines.decoder.description import Decoder
from tuibench.engines.first_steps import are_logits
from tuibench.engines.ort.graph.info import read_graph_info
from tuibench.engines.ort.graph.kernels import read_profile
from tuibench.engines.ort.session import session_options
from tuibench.engines.ort.unfused_session import UnfusedSession
from tuibench.models.artifacts import ArtifactError

WRITING_NOTE = "writing into the KV-cache"
_REPEATS = 5


def try_plain(directory: Path, decoder: Decoder, writing_nodes: Iterable[str], lengths: Sequence[int]) -> None:
    """Run a few steps, and note the kernels of a decoded token and the cost of writing into the cache.

    Args:
        directory: The graph.
        decoder: The model.
        writing_nodes: Names of the nodes whose outputs are the cache that the next step gets.
        lengths: Positions, the new one included, at which writing is timed; those beyond the context window are not.

    Raises:
        ArtifactError: A logit is not a number, or none of a position is finite.
    """
    options = session_options(1)
    options.enable_profiling = True
    options.profile_file_prefix = str(directory / "profile")
    options.add_session_config_entry("session.disable_prepacking", "1")  # a second copy of all weights, for a few steps
    session = UnfusedSession(directory, decoder, options)
    sound = are_logits(session.prefill([0], 2)) and are_logits(session.decode(0))
    reachable = [length for length in lengths if length <= (decoder.context_window or length)]
    for length in reachable:
        for _ in range(_REPEATS):
            session.pretend(length - 1)
            session.decode(0)
    runs = read_profile(session.end_profiling())
    if not sound:
        raise ArtifactError("the exported graph gives logits that are not finite; the weights do not stand this method")
    names = set(writing_nodes)
    written_us = [sum(kernel.duration_us for kernel in run if kernel.node in names) for run in runs[2:]]
    costs = [
        f"{statistics.median(written_us[index * _REPEATS :][:_REPEATS]):,.0f} µs at {length:,} positions"
        for index, length in enumerate(reachable)
    ]
    info = read_graph_info(directory)
    kernels = dict(Counter(kernel.operator for kernel in runs[1]))
    told = f"{decoder.kv_cache().at(1) / 1e3:.1f} kB a token in {', in '.join(costs)}; one thread"
    notes = {**info.notes, WRITING_NOTE: told} if costs else info.notes
    msgspec.structs.replace(info, kernels=kernels, notes=notes).save(directory)
