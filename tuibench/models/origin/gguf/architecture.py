"""What is known about an architecture of GGUF files: its transformers model, configuration and tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuibench.models.origin.gguf.changes import Change, stacked_rows
from tuibench.models.origin.gguf.fields import Fields
from tuibench.models.origin.gguf.rope import rope_parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = "blk.{}."
_SUFFIXES = (".weight", ".bias")


@dataclass(frozen=True, slots=True)
class Architecture:
    """Names stand for themselves and, unless they end so, for those with `.weight` and `.bias`; `{}` is the layer."""

    config: Callable[[Fields], dict[str, Any]]
    """Returns transformers' configuration, `model_type` included."""
    tensors: Mapping[str, str]
    """GGUF's name to transformers'; those with one target are joined in this order."""
    changes: Mapping[str, Change] = field(default_factory=dict)
    """By the end of GGUF's name."""
    join: Callable[[list[NDArray[Any]]], NDArray[Any]] = stacked_rows
    """Makes one parameter of the tensors that have the same target."""

    def targets(self, n_layers: int) -> dict[str, str]:
        """Return transformers' name for each name that a tensor of a file may have."""
        targets: dict[str, str] = {}
        for stored, target in self.tensors.items():
            for suffix in ("",) if stored.endswith(_SUFFIXES) else ("", *_SUFFIXES):
                name, parameter = stored + suffix, target + suffix
                layers = range(n_layers) if "{}" in name else range(1)
                targets |= {name.format(layer): parameter.format(layer) for layer in layers}
        return targets

    def change(self, name: str) -> Change | None:
        """Return what has to be done to a tensor of a file; None if nothing."""
        part = name.split(".", 2)[2] if name.startswith("blk.") else name
        return self.changes.get(part) or self.changes.get(part.rpartition(".")[0])


def decoder_tensors(layer: Mapping[str, str], *, prefix: str = "model.") -> dict[str, str]:
    """Return the names of a decoder whose outer parts are called as Llama's; a layer's go without `blk.{}.`."""
    outer = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    return outer | {BLOCK + stored: f"{prefix}layers.{{}}.{target}" for stored, target in layer.items()}


ATTENTION = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
}
QUERY_KEY_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
NORMS_BEFORE = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
NORMS_AROUND = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
GATED = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
UNGATED = {"ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
EXPERTS = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps.weight": "mlp.experts.gate_up_proj",
    "ffn_up_exps.weight": "mlp.experts.gate_up_proj",
    "ffn_down_exps.weight": "mlp.experts.down_proj",
}


def sizes(fields: Fields, *, n_keys: int | None = None) -> dict[str, Any]:
    """Return what every decoder with Llama's names of settings has, but no norm and no rotation.

    Args:
        fields: Of the file.
        n_keys: Number of heads of keys, where the file does not say it in one number.

    Raises:
        ModelError: Something is missing, or asks for what no such decoder does.
    """
    fields.require("attention.causal", True)
    fields.require("pooling_type", 0)
    fields.require("tensor_data_layout", "Meta AI original pth")
    n_heads = fields.integer("attention.head_count")
    return {
        "vocab_size": fields.vocabulary_size,
        "hidden_size": fields.integer("embedding_length"),
        "intermediate_size": fields.integer("feed_forward_length"),
        "num_hidden_layers": fields.n_layers,
        "num_attention_heads": n_heads,
        "num_key_value_heads": fields.integer("attention.head_count_kv", n_heads) if n_keys is None else n_keys,
        "max_position_embeddings": fields.integer("context_length"),
    } | tokens(fields)


def tokens(fields: Fields) -> dict[str, Any]:
    """Return whether the head is the embedding, and the special tokens."""
    return {
        "tie_word_embeddings": "output.weight" not in fields.tensors,
        "bos_token_id": fields.special_token("bos"),
        "eos_token_id": fields.special_token("eos"),
        "pad_token_id": fields.special_token("padding"),
    }


def head_dim(fields: Fields) -> int:
    """Return the width of a head, of keys and values alike.

    Raises:
        ModelError: The two differ.
    """
    width = fields.integer("embedding_length") // max(fields.integer("attention.head_count"), 1)
    width = fields.integer("attention.key_length", width)
    fields.require("attention.value_length", width)
    return width


def rms_decoder(fields: Fields) -> dict[str, Any]:
    """Return the configuration of a decoder with RMS norms whose heads are rotated whole, alike in all layers."""
    width = head_dim(fields)
    return sizes(fields) | {
        "head_dim": width,
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "rope_parameters": rope_parameters(fields, width),
    }


def has_bias(fields: Fields, part: str) -> bool:
    """Tell whether a part of the layers has a bias."""
    return f"blk.0.{part}.bias" in fields.tensors
