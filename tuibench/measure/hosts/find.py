"""Finding a model by its weights."""

from __future__ import annotations

import contextlib

from tuibench.models.cache import cached_models
from tuibench.models.local import LocalModel, ModelError
from tuibench.models.origin.sources import find_model


class RefusedError(Exception):
    """A question has no answer; the message says why."""


def model_with(name: str, digest: str) -> LocalModel:
    """Return a model that has these weights: under this name, or another that was pulled.

    Raises:
        RefusedError: There is none; the message says what there is.
    """
    other = None
    for known in dict.fromkeys((name, *(model.name for model in cached_models()))):
        with contextlib.suppress(ModelError):
            found = find_model(known)
            if found is not None and found.digest == digest:
                return found
            other = found if known == name else other
    if other is not None:
        raise RefusedError(f"its model {name} has other weights (SHA-256 {other.digest[:12]}, not {digest[:12]})")
    raise RefusedError(f"the model {name} is not there")
