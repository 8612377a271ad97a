"""A model that is ready to load: a local folder with `config.json`, a tokenizer and safetensors weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_MODEL = "SmolLM2-135M-Instruct"


class ModelError(Exception):
    """A model cannot be had; the message names it, the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on this disk."""

    name: str
    """Short name, as shown and as given to `--model`."""
    source: str
    """Where the weights came from, fit to be shared: hub id, package and version, or file name; never a path."""
    directory: Path
    digest: str
    """SHA-256 over the weight files."""
    parameters: int
    weight_bytes: int
    """Size of the weight files."""
    architecture: str
    """`architectures[0]` of the configuration."""
    dtype: str
    """Type of the stored weights, as safetensors names it (F32, BF16, …)."""
    context_window: int | None
