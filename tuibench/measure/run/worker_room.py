"""Whether the workers of several methods fit into memory together: what is known of each, asked of its machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tuibench.core.run.shape import Shape
from tuibench.core.run.spec import RunSpec
from tuibench.measure.hosts.host import MeasuringHost
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.memory_needs import need_of
from tuibench.models.model_size import size_of

_CHARS_PER_TOKEN = 3
"""Fewer than most texts have."""


class WorkerRoom:
    """Of one run on one machine."""

    def __init__(self, host: MeasuringHost, model: LocalModel, spec: RunSpec) -> None:
        """Work out what is known before anything has run."""
        self._host = host
        self._parameters = model.parameters
        self._expected_peaks_bytes = _expected_peaks_bytes(model, spec)

    async def lacking(self, methods: Sequence[str], seen_peaks_bytes: Mapping[str, int]) -> str | None:
        """Return why these methods' workers are not to be at hand together; None where they fit."""
        known_bytes = {**self._expected_peaks_bytes, **seen_peaks_bytes}
        return await self._host.too_little_memory([known_bytes.get(method) for method in methods], self._parameters)


def _expected_peaks_bytes(model: LocalModel, spec: RunSpec) -> dict[str, int]:
    """Return what workers will take, by method where that is known, and that of one that may make its files first."""
    try:
        size = size_of(model.directory)
    except ModelError:
        return {}  # each worker says what is wrong with it
    n_tokens = max(map(partial(_n_held, spec), spec.sweep.shapes() if spec.sweep else (None,)))
    needs = {method: need for method in spec.methods if (need := need_of(method, size, n_tokens)) is not None}
    peaks_bytes = {method: need.run for method, need in needs.items()}
    # Files are made one after the other.
    made_bytes, method = max(((need.prepare or 0, method) for method, need in needs.items()), default=(0, ""))
    if made_bytes:
        peaks_bytes[method] += made_bytes
    return peaks_bytes


def _n_held(spec: RunSpec, shape: Shape | None) -> int:
    """Return about how many tokens the KV-caches of a trial hold."""
    n_written = len(spec.prompt) // _CHARS_PER_TOKEN
    if shape is None:
        return n_written + spec.max_new_tokens
    return shape.n_users * (shape.known_tokens + (n_written if shape.prompt_tokens is None else 0))
