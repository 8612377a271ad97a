"""Tiny seeded model folders of any model type, as `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.architectures.tiny_config import shrunk
from tests.architectures.types import CHANGES, VARIANTS
from tests.tiny_models import SPECIAL_TOKENS, train_byte_level_bpe


def tiny_config(name: str) -> Any:
    """Return the configuration of a model type, or of a variant of one."""
    from transformers import CONFIG_MAPPING

    model_type, variant = VARIANTS.get(name, (name, {}))
    config_class = CONFIG_MAPPING[model_type]
    changes = CHANGES.get(model_type, {})
    default = config_class(**changes.get("default", {}))
    changes = {key: value for key, value in changes.items() if key != "default"}
    return config_class.from_dict(shrunk(default, changes | variant))


def save_folder(name: str, directory: Path) -> None:
    """Write `config.json`, `model.safetensors` and a tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = tiny_config(name)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        _randomise(model)
    model.save_pretrained(directory)
    if type(model.config) is not type(config):
        config.save_pretrained(directory)  # the text model's own configuration alone is no model that can be opened
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_byte_level_bpe(), bos_token=SPECIAL_TOKENS[0], eos_token=SPECIAL_TOKENS[2]
    )
    tokenizer.save_pretrained(directory)


def _randomise(model: Any) -> None:
    """Make every parameter matter: initial weights give almost equal logits, biases of 0 and norms of 1 none at all."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.15)
            else:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(0.0, 0.1)
