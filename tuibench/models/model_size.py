"""Where the weights of a model stand, and what a token adds to its cache, from the headers of its files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuibench.models.folder import read_config, read_text_headers
from tuibench.models.layer_settings import settings_by_layer
from tuibench.models.text_part import text_settings

_MATRIX = 2
"""Dimensions of a table."""
_EXPERTS = ".experts."
"""In the names of their tensors; a number follows where files hold them one by one."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Weights of a model by where they stand, and what a token adds to an FP32 KV-cache."""

    body: int
    """Weights of all layers, of all their experts."""
    table: int
    """Weights of the embedding."""
    head: int
    """Weights of an output head stored apart; 0 where it is the embedding."""
    stored_bytes: int
    """Of them in the files."""
    is_fp32: bool
    """Whether they hold FP32, which PyTorch maps as it is."""
    kv_bytes_per_token: int
    """0 where the configuration does not tell in the usual words."""
    row_bytes_per_token: int = 0
    """What a token adds where all is kept that convolutions have read (LFM2): FP32, whatever keys and values are."""
    feed_width: int = 0
    """Of the feed-forward, which what is computed of a token is in proportion to; 0 likewise."""
    other_tables: int = 0
    """Weights of tables besides, of another width, of which a token reads a row (Gemma 4)."""
    experts: int = 0
    """Of the body, weights of experts."""
    experts_apart: int = 0
    """Of these, the ones that files hold expert by expert."""
    experts_at_once: int = 0
    """Of these, the ones of the layer that has most."""

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.body + self.table + self.head + self.other_tables

    @property
    def products(self) -> int:
        """Weights of matrix products: a tied table is one."""
        return self.body + (self.head or self.table)


def size_of(model_dir: Path) -> ModelSize:
    """Return a model's weights by where they stand.

    Raises:
        ModelError: Its files cannot be read.
    """
    config = text_settings(read_config(model_dir, model_dir.name))
    headers = read_text_headers(model_dir, model_dir.name)
    tensors = {name: tensor for header in headers for name, tensor in header.tensors.items()}
    shapes = [tensor.shape for tensor in tensors.values()]
    table, head, other_tables = _tables(shapes, config)
    n_all = sum(map(_count, shapes))
    if head and config.get("tie_word_embeddings") is True:
        n_all, head = n_all - head, 0
    fp32 = sum(header.elements.get("F32", 0) for header in headers)
    experts = {name: _count(tensor.shape) for name, tensor in tensors.items() if _EXPERTS in name}
    of_layers: Counter[str] = Counter()
    for name, n_weights in experts.items():
        of_layers[name.partition(_EXPERTS)[0]] += n_weights
    return ModelSize(
        body=n_all - table - head - other_tables,
        table=table,
        head=head,
        stored_bytes=sum(tensor.data_offsets[1] - tensor.data_offsets[0] for tensor in tensors.values()),
        is_fp32=2 * fp32 > n_all,
        kv_bytes_per_token=_kv_bytes_per_token(config),
        row_bytes_per_token=_row_bytes_per_token(config),
        feed_width=_feed_width(config),
        other_tables=other_tables,
        experts=of_layers.total(),
        experts_apart=sum(n for name, n in experts.items() if name.partition(_EXPERTS)[2][:1].isdigit()),
        experts_at_once=max(of_layers.values(), default=0),
    )


def _tables(shapes: Sequence[tuple[int, ...]], config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the weights of the embedding, of an output head stored apart, and of tables of another width."""
    by_token = [shape for shape in shapes if len(shape) == _MATRIX and shape[0] == config.get("vocab_size")]
    width = config.get("hidden_size") or config.get("n_embd")
    others = [shape for shape in by_token if shape[1] != width] if any(shape[1] == width for shape in by_token) else []
    tables = sorted(_count(shape) for shape in by_token if shape not in others)
    return (tables[-1] if tables else 0), (tables[-2] if len(tables) > 1 else 0), sum(map(_count, others))


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for length in shape:
        n *= length
    return n


def _kv_bytes_per_token(config: Mapping[str, Any]) -> int:
    layers = _whole(config.get("num_hidden_layers") or config.get("n_layer"))
    heads = _whole(config.get("num_attention_heads") or config.get("n_head"))
    hidden = _whole(config.get("hidden_size") or config.get("n_embd"))
    width = _whole(config.get("head_dim") or (hidden // heads if heads else 0))
    layers = max(0, layers - _whole(config.get("num_kv_shared_layers")))  # those read an earlier one's
    usual = {"head_dim": width, "num_key_value_heads": config.get("num_key_value_heads") or heads}
    kept = (usual | _heads_of_layer(config, index) for index in range(layers))
    return 2 * 4 * sum(_whole(each["head_dim"]) * _whole(each["num_key_value_heads"]) for each in kept)


def _feed_width(config: Mapping[str, Any]) -> int:
    width = config.get("intermediate_size") or config.get("n_inner")
    if isinstance(width, list):  # Gemma 4 in some files: one a layer
        width = max(map(_whole, width), default=0)
    return _whole(width) or 4 * _whole(config.get("hidden_size") or config.get("n_embd"))


def _row_bytes_per_token(config: Mapping[str, Any]) -> int:
    layers, hidden = _whole(config.get("num_hidden_layers")), _whole(config.get("hidden_size"))
    return 4 * hidden * sum(_has_convolution(config, index) for index in range(layers))


def _has_convolution(config: Mapping[str, Any], index: int) -> bool:
    """Return whether a layer has one in place of attention: by its kind, in older files where attention is not."""
    kinds, attending = config.get("layer_types"), config.get("full_attn_idxs")
    if isinstance(kinds, list):
        return kinds[index : index + 1] == ["conv"]
    return isinstance(attending, list) and index not in attending


def _heads_of_layer(config: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return what a layer's heads are if not the usual ones.

    Gemma 4 tells them layer by layer, in older files by kind; LFM2 has layers without any.
    """
    if _has_convolution(config, index):
        return {"num_key_value_heads": 0}
    kinds = config.get("layer_types")
    try:
        by_layer = settings_by_layer(config)
    except ValueError:
        return {}  # refused where the model is described
    if by_layer is not None:
        given = by_layer.get(index)
        return given if isinstance(given, dict) else {}
    wide = config.get("global_head_dim")
    if not wide or not isinstance(kinds, list) or kinds[index : index + 1] != ["full_attention"]:
        return {}
    few = config.get("num_global_key_value_heads") if config.get("attention_k_eq_v") else None
    return {"head_dim": wide} | ({"num_key_value_heads": few} if few else {})


def _whole(value: object) -> int:
    """Return a count; 0 for anything else."""
    return value if type(value) is int and value > 0 else 0
