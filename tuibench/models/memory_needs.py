"""What a method will take of memory on a model, from the headers of its files alone: told before anything is built.

The rules say what engines hold of each weight; what their libraries take besides was read off real processes, against
which all of it is held by `tests/campaigns/memory_estimates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tuibench.core import format as fmt
from tuibench.core.run.control import method_of
from tuibench.models.folder import read_config, read_text_headers
from tuibench.models.layer_settings import settings_by_layer
from tuibench.models.text_part import text_settings

_MB = 1_000_000
_TIGHT = 0.9
"""Of what is free: what takes more may not fit after all."""
_MATRIX = 2
"""Dimensions of a table."""


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

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.body + self.table + self.head + self.other_tables

    @property
    def products(self) -> int:
        """Weights of matrix products: a tied table is one."""
        return self.body + (self.head or self.table)


@dataclass(frozen=True, slots=True)
class Need:
    """What a method takes, in bytes."""

    run: int
    """High-water mark of the worker once its files are made."""
    mapped: int = 0
    """Of that, pages of files, which the kernel takes back where memory is short."""
    prepare: int | None = None
    """High-water mark of the processes that make the files, one at a time; None where nothing large is made."""

    @property
    def least(self) -> int:
        """What has to be free for a worker whose files are made."""
        return self.run - self.mapped


@dataclass(frozen=True, slots=True)
class Fit:
    """A method's need beside the memory that is free."""

    need: Need
    free_bytes: int

    @property
    def lacking_bytes(self) -> int:
        """What would have to be free besides for the method to run; 0 where it fits."""
        return max(0, self.need.least - self.free_bytes)

    @property
    def lacking_to_prepare_bytes(self) -> int:
        """What would have to be free besides for its files to be made; 0 where they can be, or are not needed."""
        return max(0, (self.need.prepare or 0) - self.free_bytes)

    @property
    def is_tight(self) -> bool:
        """Whether it fits and little is left, or its files have to be there already."""
        return not self.lacking_bytes and max(self.need.least, self.need.prepare or 0) > _TIGHT * self.free_bytes

    def refusal(self, method: str, *, preparing: bool = False) -> str | None:
        """Return why a method is not loaded, or its files are not made, in one line; None where that may be tried."""
        needed = self.need.prepare if preparing else self.need.least
        if needed is None or needed <= self.free_bytes:
            return None
        what = f"making the files of {method}" if preparing else method
        return (
            f"{what} takes about {fmt.size(needed)} of memory on this model, and {fmt.size(self.free_bytes)} are free; "
            "a method with fewer bits or a smaller model may fit"
        )


def need_of(method: str, size: ModelSize, n_tokens: int) -> Need | None:
    """Return what a method takes for a text of some tokens; None for methods that nothing is known of here."""
    measured = method_of(method)
    rule = _RULES.get(measured)
    if rule is None:
        return None
    need = rule(size)
    per_token = _CACHE_SHARES.get(measured, 1.0) * size.kv_bytes_per_token
    per_token += _WORKING_BYTES[measured] * size.feed_width
    if measured not in _OF_TORCH:
        per_token += size.row_bytes_per_token
    reading = need.run - _FREED_BYTES.get(measured, 0) + round(n_tokens * per_token)
    return replace(need, run=max(need.run, reading))


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


def _fp32_torch(size: ModelSize) -> Need:
    """Weights in FP32: mapped where the files hold them so, else filled from files that are mapped meanwhile."""
    filled = 0 if size.is_fp32 else 4 * size.parameters
    return Need(_TORCH + filled + size.stored_bytes, mapped=size.stored_bytes)


def _bf16_torch(size: ModelSize) -> Need:
    """Weights in BF16, mapped where the files hold them so."""
    filled = 2 * size.parameters if size.is_fp32 else 0
    return Need(_TORCH_BF16 + filled + size.stored_bytes, mapped=size.stored_bytes)


def _compiled_torch(size: ModelSize) -> Need:
    """FP32 first; then the compiled step, and its weights as it reads them."""
    whole = _fp32_torch(size)
    run = whole.run + (_STEP if size.is_fp32 else 0)
    return replace(whole, run=run, prepare=run)


def _int8_torch(size: ModelSize) -> Need:
    """FP32 first; then products in INT8 besides, the file's pages having gone where it was only copied from.

    A head that is the embedding becomes a matrix of its own before it is quantised.
    """
    whole = _fp32_torch(size)
    besides = size.products + (0 if size.head else 4 * size.table)
    return replace(whole, run=whole.run + (besides if size.is_fp32 else 0))


def _exported(size: ModelSize) -> Need:
    """As `_onnx`; the graph is traced from a module without weights, which are written one by one."""
    return replace(_onnx(4, 4, _ONNX)(size), prepare=max(_TRACING, _TORCH + 8 * max(size.table, size.head)))


def _onnx(body: float, head: float, libraries_bytes: int) -> Callable[[ModelSize], Need]:
    """Packed products; of the embedding, only the rows that are looked up. The FP32 graph is tried, or calibrates."""

    def need(size: ModelSize) -> Need:
        run = libraries_bytes + round(body * size.body + head * (size.head or size.table))
        return Need(run, prepare=_ONNX + _PREPARING + 4 * size.products)

    return need


def _fused(body: float, head: float) -> Callable[[ModelSize], Need]:
    """Packed products, written to a file and read from it; of the embedding, only the rows that are looked up."""

    def need(size: ModelSize) -> Need:
        packed = round(body * size.body + head * (size.head or size.table))
        return Need(_KERNELS + packed, prepare=max(_KERNELS + packed, _COMPILING))

    return need


def _fused_fp32(size: ModelSize) -> Need:
    """As `_fused`; bytes that are zero in all weights are left out, which are those that BF16 and FP16 lack."""
    n_bytes = 4 if size.is_fp32 else 2
    return _fused(n_bytes, n_bytes)(size)


_TORCH, _TORCH_BF16, _ONNX, _ONNX_INTEGER, _KERNELS = (n * _MB for n in (420, 385, 200, 139, 96))
"""What libraries and working memory take besides the weights."""
_PREPARING, _COMPILING, _TRACING, _STEP = (n * _MB for n in (20, 350, 710, 240))
_OF_TORCH = frozenset({"baseline", "kv-cache", "kv-cache-compiled", "kv-cache-lookup", "kv-cache-bf16", "int8-torch"})
"""Methods that keep of what convolutions have read only what the next token reads again."""
_WORKING_BYTES: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(_OF_TORCH, 32),
        "kv-cache-bf16": 16,
        **dict.fromkeys(("onnx", "onnx-fused", "int8-dynamic", "int8-static", "int4-onnx"), 34),
        **dict.fromkeys(("fused-fp32", "fused-int8", "fused-int8-lookup", "fused-int4"), 17),
    }
)
"""What is worked with for each token of a prompt, in bytes for each number of the feed-forward's width."""
_FREED_BYTES = {"onnx": 100 * _MB, "onnx-fused": 100 * _MB}
"""What loading takes and gives back before a prompt is read."""
_CACHE_SHARES = {
    "baseline": 0.0,
    "kv-cache-bf16": 0.5,
    "fused-int8": 0.25,
    "fused-int8-lookup": 0.25,
    "fused-int4": 0.25,
}
"""Of an FP32 KV-cache, where a method keeps another one."""
_RULES: Mapping[str, Callable[[ModelSize], Need]] = MappingProxyType(
    {
        "baseline": _fp32_torch,
        "kv-cache": _fp32_torch,
        "kv-cache-compiled": _compiled_torch,
        "kv-cache-lookup": _fp32_torch,
        "kv-cache-bf16": _bf16_torch,
        "int8-torch": _int8_torch,
        "onnx": _exported,
        "onnx-fused": _onnx(4, 4, _ONNX),
        "int8-dynamic": _onnx(1.0625, 1.0625, _ONNX_INTEGER),
        "int8-static": _onnx(1, 1, _ONNX_INTEGER),
        "int4-onnx": _onnx(0.75, 1.0625, _ONNX_INTEGER),
        "fused-fp32": _fused_fp32,
        "fused-int8": _fused(1, 1),
        "fused-int8-lookup": _fused(1, 1),
        "fused-int4": _fused(0.625, 0.625),
    }
)
