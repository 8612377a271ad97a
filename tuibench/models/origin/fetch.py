"""Where a model that is not on this disk may be fetched from, in the order in which it is tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuibench import paths
from tuibench.models.cache import Origin, Staging
from tuibench.models.digest import remembered_sha256
from tuibench.models.local import DEFAULT_MODEL
from tuibench.models.origin.convert import convert_gguf
from tuibench.models.origin.hub import HubSource
from tuibench.models.origin.pull_events import OnProgress
from tuibench.models.origin.sources import check_name, gguf_model_name, is_gguf
from tuibench.models.origin.wheel import DEFAULT_MODEL_WHEEL

DEFAULT_MODEL_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"


class Source(Protocol):
    """A place to get one model from."""

    @property
    def title(self) -> str:
        """What a message calls it."""

    def fetch(self, staging: Staging, on_progress: OnProgress) -> Origin:
        """Fill `staging.model` with configuration, tokenizer and safetensors; blocks.

        Raises:
            ModelError: The model cannot be had here; the next source is tried.
        """


@dataclass(frozen=True, slots=True)
class GgufSource:
    """A GGUF file of the user's; it is read, never changed."""

    path: Path

    @property
    def title(self) -> str:
        """What a message calls it."""
        return self.path.name

    def fetch(self, staging: Staging, on_progress: OnProgress) -> Origin:
        """Convert the file.

        Raises:
            ModelError: It cannot be converted.
        """
        convert_gguf(self.path.resolve(), staging.model, on_progress)
        path = self.path.resolve()
        return Origin(source=self.path.name, revision=remembered_sha256([path]), file=str(path))


def sources_of(name: str) -> tuple[str, tuple[Source, ...]]:
    """Return the name that a model gets in the cache, and where it may come from.

    Raises:
        ModelError: The name cannot mean a model.
    """
    if name == DEFAULT_MODEL:
        return name, (HubSource(DEFAULT_MODEL_HUB_ID), DEFAULT_MODEL_WHEEL)
    if is_gguf(name):
        path = paths.expanded(name)
        return gguf_model_name(path), (GgufSource(path),)
    check_name(name)
    return name, (HubSource(name),)
