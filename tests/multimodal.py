"""Tiny models that also see, as transformers writes them; their other parts have weights and are never asked."""

from __future__ import annotations

from pathlib import Path

_EYE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_TEXT = {
    "vocab_size": 384,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 128}

CONFIGS = {
    "gemma3": {
        "text_config": {"model_type": "gemma3_text", "head_dim": 16, "sliding_window": 12, **_TEXT},
        "vision_config": {"model_type": "siglip_vision_model", **_EYE},
        "mm_tokens_per_image": 4,
    },
    "gemma4": {
        "text_config": {
            "model_type": "gemma4_text",
            "head_dim": 16,
            "global_head_dim": 32,
            "sliding_window": 12,
            **_TEXT,
            "layer_types": ["sliding_attention", "full_attention"],
            "vocab_size_per_layer_input": 384,
            "hidden_size_per_layer_input": 16,
        },
        "vision_config": {"head_dim": 16, "num_key_value_heads": 2, **_EYE},
        "audio_config": None,
    },
    "mistral3": {
        "text_config": {
            "model_type": "ministral3",
            "head_dim": 16,
            **_TEXT,
            "rope_parameters": {**_YARN, "llama_4_scaling_beta": 0.1},
        },
        "vision_config": {"model_type": "pixtral", "head_dim": 16, **_EYE},
    },
    "llava": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": {"model_type": "clip_vision_model", **_EYE},
    },
    "internvl": {
        "text_config": {"model_type": "qwen2", **_TEXT},
        "vision_config": {"model_type": "internvl_vision", **_EYE, "image_size": [28, 28], "patch_size": [14, 14]},
    },
    "idefics3": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": {"model_type": "idefics3_vision", **_EYE},
    },
    "smolvlm": {
        "text_config": {"model_type": "llama", **_TEXT},
        "vision_config": {"model_type": "smolvlm_vision", **_EYE},
    },
}
"""By the type of the whole model."""


def save_multimodal(model_type: str, directory: Path) -> Path:
    from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

    from tests.tiny_models import CHAT_TEMPLATE, _save

    config = CONFIG_MAPPING[model_type](**CONFIGS[model_type])
    return _save(directory, AutoModelForImageTextToText.from_config, config, "<|im_end|>", CHAT_TEMPLATE, vectors=0.1)
