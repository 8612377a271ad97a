"""GGUF files of tiny models, with the gguf package's own names of tensors."""

from __future__ import annotations

import json

from tests.tiny_models import train_byte_level_bpe


def decoder_keys(config):
    """Return what llama.cpp's converter says of any decoder."""
    return {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
    }


def gguf_tensors(model, architecture):
    """Return a transformers model's parameters as llama.cpp's converter writes them."""
    import gguf

    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)
    return {
        names.get_name(name, (".weight", ".bias")): _as_converted(value.numpy(), name, architecture, model.config)
        for name, value in model.state_dict().items()
        if name not in model.all_tied_weights_keys
    }


def _as_converted(weights, name, architecture, config):
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
    if architecture == "llama" and heads:
        n_heads = getattr(config, heads)
        return weights.reshape(n_heads, 2, -1, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return weights + 1
    if architecture == "gpt2" and ".c_" in name and weights.ndim > 1:
        return weights.T
    return weights


def write_gguf(path, architecture, keys, tensors, matrices=None, **more):
    """Write a file.

    Args:
        path: Of the file.
        architecture: Its label, and what the keys begin with.
        keys: Without the architecture's name in front.
        tensors: Arrays by name.
        matrices: The type that matrices are quantised to; None leaves them as they are.
        more: Further metadata by full key, with `__` for a dot.
    """
    import gguf
    import numpy as np

    tokenizer = json.loads(train_byte_level_bpe().to_str())["model"]
    vocabulary = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    writer = gguf.GGUFWriter(path, architecture)
    metadata = {f"{architecture}.{key}": value for key, value in keys.items()}
    metadata |= {key.replace("__", "."): value for key, value in more.items()}
    for key, value in metadata.items():
        writer.add_key_value(key, value, *_type(value))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    kind = None if matrices is None else gguf.GGMLQuantizationType[matrices]
    for name, values in tensors.items():
        if kind is None or values.ndim == 1:
            writer.add_tensor(name, np.ascontiguousarray(values))
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _type(value):
    from gguf import GGUFValueType as Type

    if isinstance(value, list):
        return Type.ARRAY, _type(value[0])[0]
    return ({bool: Type.BOOL, int: Type.UINT32, float: Type.FLOAT32, str: Type.STRING}[type(value)],)
