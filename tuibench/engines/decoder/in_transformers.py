"""What transformers has to be told to load the text part of a model alone, see `models.text_part`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuibench.models.text_part import RENAMED, has_text_part, text_settings


def text_part_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `from_pretrained` for a `config.json`; none where a model has no other part.

    Raises:
        KeyError: transformers does not know the text part's type.
    """
    if not has_text_part(config):
        return {}
    from transformers import CONFIG_MAPPING

    settings = text_settings(config)
    return {"config": CONFIG_MAPPING[settings["model_type"]].from_dict(settings), "key_mapping": dict(RENAMED)}
