"""Inputs and outputs of a session, bound once; the cache is both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray


def cache_parts(layers: Iterable[int]) -> list[str]:
    """Return the names of the cache's tensors, without their side."""
    return [f"{index}.{part}" for index in layers for part in ("key", "value")]


def bound(
    session: ort.InferenceSession,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
    cache: Mapping[str, ort.OrtValue],
) -> ort.IOBinding:
    """Bind everything; the arrays are read at each run, so that a step only writes into them.

    Layers that read another's keys and values have that one's memory, which the other takes in.
    """
    from onnxruntime import OrtValue

    binding = session.io_binding()
    for name, array in inputs.items():
        binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array))
    for name, array in outputs.items():
        binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(array))
    taken = {each.name for each in session.get_inputs()}
    for part, value in cache.items():
        # The same memory on both sides: the operator then writes the new positions and copies nothing.
        if f"past.{part}" in taken:
            binding.bind_ortvalue_input(f"past.{part}", value)
        binding.bind_ortvalue_output(f"present.{part}", value)
    return binding
