"""What identifies a model's FP32 predictions of a text, which quality is measured against, in the artifact cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tuibench.models.artifacts import Recipe, find_artifact
from tuibench.models.digest import remembered_sha256
from tuibench.models.folder import weight_files
from tuibench.models.home import home_versions

REFERENCE_METHOD = "kv-cache"
"""The method whose predictions they are."""
_LAYOUT_VERSION = "2"
"""Raised whenever what is stored, how it is computed, or which positions of a text it is of, changes."""


def reference_recipe(model_dir: Path, text: str, window_tokens: int | None = None) -> Recipe:
    """Return what a model's predictions of a text are kept under.

    Args:
        model_dir: The model's.
        text: The text.
        window_tokens: How long its windows are to be; None: as long as llama.cpp's.

    Raises:
        ModelError: The model has no readable weights.
    """
    windows = {} if window_tokens is None else {"window": str(window_tokens)}
    return Recipe(
        method="reference",
        model_digest=model_digest(model_dir, "config.json", "tokenizer.json"),
        options={"text": hashlib.sha256(text.encode()).hexdigest(), "method": REFERENCE_METHOD, **windows},
        versions={"layout": _LAYOUT_VERSION, **home_versions("torch", "transformers")},
    )


def first_steps_recipe(model_dir: Path) -> Recipe:
    """Return what a model's first steps without a cache are kept under.

    Raises:
        ModelError: The model has no readable weights.
    """
    return Recipe(
        method="first-steps",
        model_digest=model_digest(model_dir, "config.json"),
        options={},
        versions={"layout": _LAYOUT_VERSION, **home_versions("torch", "transformers")},
    )


def model_digest(model_dir: Path, *small_files: str) -> str:
    """Return a digest over a model's weights and some of the files beside them.

    Raises:
        ModelError: The model has no readable weights.
    """
    digest = hashlib.sha256(remembered_sha256(weight_files(model_dir, model_dir.name)).encode())
    for name in small_files:
        path = model_dir / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def has_reference(model_dir: Path, text: str, window_tokens: int | None = None) -> bool:
    """Return whether the predictions that `reference_recipe` describes are in the cache and undamaged.

    Raises:
        ModelError: The model has no readable weights.
    """
    return find_artifact(reference_recipe(model_dir, text, window_tokens)) is not None
