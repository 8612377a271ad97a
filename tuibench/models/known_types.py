"""Which model types the installed transformers has code for, without importing it: that takes seconds."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_LISTS = ("models/auto/auto_mappings.py", "models/auto/configuration_auto.py")


def is_known_type(model_type: str) -> bool:
    """Return whether transformers' lists of models name a type; True where they cannot be read, and others decide."""
    package = find_spec("transformers")
    if package is None or package.origin is None:
        return True
    try:
        lists = [(Path(package.origin).parent / name).read_text(encoding="utf-8") for name in _LISTS]
    except OSError:
        return True
    return any(f'"{model_type}"' in text for text in lists)
