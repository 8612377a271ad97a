"""Whether the workers of several methods fit into memory together: what is known of each, asked of its machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuibench.core.run.spec import RunSpec
from tuibench.measure.hosts.host import MeasuringHost
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.memory_needs import need_of, size_of


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
    """Return what workers will take, their files made or not, by method where that is known."""
    try:
        size = size_of(model.directory)
    except ModelError:
        return {}  # each worker says what is wrong with it
    needs = {method: need_of(method, size, spec.max_new_tokens) for method in spec.methods}
    return {method: max(need.run, need.prepare or 0) for method, need in needs.items() if need is not None}
