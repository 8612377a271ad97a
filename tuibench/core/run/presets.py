"""Loads that people know by name, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Preset(NamedTuple):
    """How long prompt and output of a load are."""

    prompt_tokens: int
    max_new_tokens: int
    explanation: str


PRESETS: Mapping[str, Preset] = {
    "chat": Preset(64, 128, "a short question, one user"),
    "rag": Preset(2048, 128, "a long prompt of retrieved text, a short answer"),
    "code": Preset(1024, 512, "a file to go on from, a long output"),
}
