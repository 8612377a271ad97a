"""Settings that a `config.json` gives layer by layer (Gemma 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEY = "per_layer_config"


def settings_by_layer(config: Mapping[str, Any]) -> dict[int, Any] | None:
    """Return what a file gives of some layers, by their index; None where it gives nothing so.

    transformers writes the indices with as many digits as the last one has: "07" where there are eleven layers.

    Raises:
        ValueError: It gives something else so.
    """
    given = config.get(_KEY)
    if given is None:
        return None
    if not isinstance(given, Mapping) or not all(str(key).isdecimal() for key in given):
        raise ValueError(f"{_KEY} is not by layer")
    by_layer = {int(key): value for key, value in given.items()}
    if len(by_layer) < len(given):
        raise ValueError(f"{_KEY} gives a layer twice")
    return by_layer
