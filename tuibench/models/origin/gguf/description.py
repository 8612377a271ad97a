"""A GGUF file as a transformers configuration and the parameters that its tensors become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuibench.models.local import ModelError
from tuibench.models.origin.gguf.architecture import Architecture
from tuibench.models.origin.gguf.fields import REMEDY, Fields
from tuibench.models.origin.gguf.gemmas import GEMMAS
from tuibench.models.origin.gguf.gpts import FALCON_WITH_TWO_NORMS, GPTS, has_second_norm
from tuibench.models.origin.gguf.header import Header, StoredTensor, read_header
from tuibench.models.origin.gguf.llamas import LLAMAS
from tuibench.models.origin.gguf.others import OTHERS
from tuibench.models.origin.gguf.tensor_values import check_inside, tensor_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARCHITECTURES: Mapping[str, Architecture] = LLAMAS | GEMMAS | GPTS | OTHERS
"""By `general.architecture`: those whose every key and tensor is understood."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """All that has to be known to make the model."""

    config: dict[str, Any]
    """For `AutoConfig.for_model`."""
    name: str
    """What the file calls its architecture."""
    targets: dict[str, str]
    """transformers' name for each weight that a file of this kind may hold."""
    weights: dict[str, StoredTensor]
    """What it holds."""
    _header: Header
    _architecture: Architecture

    def check_complete(self, expected: Mapping[str, Shape]) -> None:
        """Check that the weights are those of a model, no more and no fewer.

        Args:
            expected: The model's parameters by transformers' names.

        Raises:
            ModelError: One is missing, or has no place.
        """
        for name in self.weights:
            if self.targets.get(name) not in expected:
                raise ModelError(f"its tensor {name} has no place in a model of {self.name!r}; {REMEDY}")
        for name, target in self.targets.items():
            if target in expected and name not in self.weights:
                raise ModelError(f"it lacks the tensor {name} of a model of {self.name!r}; fetch it again")
        if unfilled := sorted(set(expected).difference(self.targets.values())):
            raise ModelError(f"it has no tensor for {unfilled[0]} of a model of {self.name!r}; {REMEDY}")

    def parameters(self, expected: Mapping[str, Shape]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the model's parameters by transformers' names.

        Args:
            expected: As for `check_complete`, which has passed.

        Raises:
            ModelError: One has not the size that the metadata ask for.
        """
        sources: dict[str, list[StoredTensor]] = {}
        for name, target in self.targets.items():
            if target in expected:
                sources.setdefault(target, []).append(self.weights[name])
        for target, tensors in sources.items():
            try:
                parts = [self._changed(tensor) for tensor in tensors]
                values = parts[0] if len(parts) == 1 else self._architecture.join(parts)
            except ValueError as error:
                raise self._wrong_size(tensors[0], expected[target]) from error
            if values.shape != expected[target]:
                raise self._wrong_size(tensors[0], expected[target])
            yield target, values

    def _changed(self, tensor: StoredTensor) -> NDArray[np.float32]:
        values = tensor_values(self._header, tensor)
        change = self._architecture.change(tensor.name)
        return values if change is None else change(values, self.config)

    def _wrong_size(self, tensor: StoredTensor, expected: Shape) -> ModelError:
        stored, needed = (" × ".join(map(str, shape)) for shape in (tensor.shape, expected))
        return ModelError(
            f"its tensor {tensor.name} is {stored} where the metadata of {self.name!r} ask for {needed}; {REMEDY}"
        )


def read_description(path: Path) -> Description:
    """Return what a file describes; no model library is loaded.

    Raises:
        ModelError: The file is damaged, or describes what transformers cannot compute.
    """
    header = read_header(path)
    fields = Fields(header)
    if fields.architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(f"its architecture {fields.architecture!r} is none that can be converted ({known}); {REMEDY}")
    check_inside(header)
    architecture = ARCHITECTURES[fields.architecture]
    if fields.architecture == "falcon" and has_second_norm(fields):
        architecture = FALCON_WITH_TWO_NORMS
    config = architecture.config(fields)
    fields.check_all_used()
    targets = architecture.targets(fields.n_layers)
    return Description(config, fields.architecture, targets, fields.weights, header, architecture)
