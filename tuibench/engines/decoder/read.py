"""Reads the description of the decoder in a model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuibench.engines.base import UnsupportedModelError
from tuibench.engines.decoder.configuration import completed
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.decoder.experts import (
    read_gpt_oss,
    read_granite_moe,
    read_mixtral,
    read_olmoe,
    read_qwen3_moe,
)
from tuibench.engines.decoder.gemma4 import read_gemma4
from tuibench.engines.decoder.gpt2 import read_gpt2
from tuibench.engines.decoder.lfm2 import read_lfm2
from tuibench.engines.decoder.parallel import (
    read_cohere2,
    read_falcon,
    read_gpt_neox,
    read_gptj,
    read_opt,
    read_phi,
)
from tuibench.engines.decoder.relatives import (
    read_arcee,
    read_ernie,
    read_exaone4,
    read_gemma,
    read_gemma2,
    read_gemma3,
    read_granite,
    read_hunyuan,
    read_llama,
    read_ministral,
    read_ministral3,
    read_mistral,
    read_olmo2,
    read_olmo3,
    read_phi3,
    read_qwen2,
    read_qwen3,
    read_seed_oss,
    read_smollm3,
    read_stablelm,
    read_starcoder2,
)
from tuibench.models.folder import read_config
from tuibench.models.text_part import has_text_part, text_settings

READERS: Mapping[str, Callable[[Mapping[str, Any]], Decoder]] = {
    "llama": read_llama,
    "arcee": read_arcee,
    "ernie4_5": read_ernie,
    "exaone4": read_exaone4,
    "gemma": read_gemma,
    "gemma2": read_gemma2,
    "gemma3_text": read_gemma3,
    "gemma4_text": read_gemma4,
    "gemma4_unified_text": read_gemma4,
    "granite": read_granite,
    "hunyuan_v1_dense": read_hunyuan,
    "lfm2": read_lfm2,
    "mistral": read_mistral,
    "ministral": read_ministral,
    "ministral3": read_ministral3,
    "olmo2": read_olmo2,
    "olmo3": read_olmo3,
    "phi3": read_phi3,
    "qwen2": read_qwen2,
    "qwen3": read_qwen3,
    "seed_oss": read_seed_oss,
    "smollm3": read_smollm3,
    "stablelm": read_stablelm,
    "starcoder2": read_starcoder2,
    "cohere2": read_cohere2,
    "falcon": read_falcon,
    "gpt2": read_gpt2,
    "gpt_neox": read_gpt_neox,
    "gptj": read_gptj,
    "opt": read_opt,
    "phi": read_phi,
    "gpt_oss": read_gpt_oss,
    "granitemoe": read_granite_moe,
    "mixtral": read_mixtral,
    "olmoe": read_olmoe,
    "qwen3_moe": read_qwen3_moe,
}
"""By the `model_type` of `config.json`; each takes settings that `completed` has gone through."""


def read_decoder(model_dir: Path, wanted: str = "description") -> Decoder:
    """Return the decoder in a model folder.

    Args:
        model_dir: The folder.
        wanted: What the caller would make of it, and cannot of a family that is not known.

    Raises:
        ModelError: `config.json` is missing or unreadable.
        UnsupportedModelError: It is of another family, or uses what cannot be described.
    """
    whole = read_config(model_dir, model_dir.name)
    is_part, settings = has_text_part(whole), text_settings(whole)
    model_type = settings.get("model_type", "")
    reader = READERS.get(model_type)
    if reader is None:
        known, of_what = ", ".join(READERS), f", the text part of {whole['model_type']}" if is_part else ""
        raise UnsupportedModelError(
            f"no {wanted} for the architecture {model_type or 'unknown'!r}{of_what}; known: {known}"
        )
    decoder = reader(completed(settings, model_type))
    return replace(decoder, is_part=True) if is_part else decoder
