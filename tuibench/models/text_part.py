"""The part of a model that writes, where a folder holds one that sees or hears besides: its settings, its tensors.

From tokens alone such models compute what their text part computes; the others' weights are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        r"^language_model\.lm_head\.": "lm_head.",
        r"^(?:model\.)?(?:language_model|text_model)\.(?:model\.)?": "model.",
    }
)
"""What a whole model's tensors of the text part are called by itself: pattern → beginning, the first that fits."""

_TIED: Mapping[str, bool] = MappingProxyType(
    {
        "gemma3": True,
        "gemma4": True,
        "gemma4_unified": True,
        "idefics3": False,
        "internvl": True,
        "llava": False,
        "mistral3": True,
        "smolvlm": False,
    }
)
"""Types that are taken apart, and whether their output head is the embedding where their files say nothing."""
_OF_THE_WHOLE = ("tie_word_embeddings", "quantization_config", "compression_config", "quantization")
"""Settings that count for the text part, too, and there count for nothing."""
_HEAD = "lm_head."


def has_text_part(config: Mapping[str, Any]) -> bool:
    """Return whether a `config.json` is that of a model whose text part runs by itself."""
    return config.get("model_type") in _TIED and isinstance(config.get("text_config"), dict)


def text_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the text part; of any other model all, as they are."""
    if not has_text_part(config):
        return dict(config)
    whole = {"tie_word_embeddings": _TIED[config["model_type"]], **config}
    return {**config["text_config"], **{key: whole[key] for key in _OF_THE_WHOLE if key in whole}}


def text_tensor(name: str) -> str | None:
    """Return what a tensor of a whole model is called in its text part; None where it is of another part."""
    for pattern, beginning in RENAMED.items():
        renamed, n_found = re.subn(pattern, beginning, name)
        if n_found:
            return renamed
    return name if name.startswith(_HEAD) else None
