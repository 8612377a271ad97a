"""What a method will take of memory on a model, from the headers of its files alone: told before anything is built.

The rules say what engines hold of each weight; what their libraries take besides was read off real processes, against
which all of it is held by `tests/campaigns/memory_estimates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tuibench.core import format as fmt
from tuibench.core.run.control import method_of
from tuibench.models.model_size import ModelSize

_MB = 1_000_000
_FP32_BYTES = 4
_TIGHT = 0.9
"""Of what is free: what takes more may not fit after all."""


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


def _fp32_torch(size: ModelSize) -> Need:
    """Weights in FP32: mapped where the files hold them so, else filled from files that are mapped meanwhile."""
    filled = 0 if size.is_fp32 else 4 * size.parameters
    return Need(_TORCH + filled + size.stored_bytes, mapped=size.stored_bytes)


def _bf16_torch(size: ModelSize) -> Need:
    """Weights in BF16, mapped where the files hold them so, but for experts to be put together.

    A prompt's products with experts take as much besides as those of one layer in FP32, as was seen.
    """
    filled = 2 * (size.parameters if size.is_fp32 else size.experts_apart) + 4 * size.experts_at_once
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
    """As `_onnx`; the graph is traced from a module without weights, which are written one by one.

    It copies the experts of each token, as many at a time as fit into a room of its own.
    """
    whole = _onnx(4, 4, _ONNX)(size)
    run = whole.run + (_GATHERED if size.experts else 0)
    return replace(whole, run=run, prepare=max(_TRACING, _TORCH + 8 * max(size.table, size.head)))


def _onnx(body: float, head: float, libraries_bytes: int) -> Callable[[ModelSize], Need]:
    """Packed products; of the embedding, only the rows that are looked up. The FP32 graph is tried, or calibrates.

    Experts in FP32 are not packed: their pages of the file count once a token has gone there, in the end all.
    """

    def need(size: ModelSize) -> Need:
        run = libraries_bytes + round(body * size.body + head * (size.head or size.table))
        mapped = 4 * size.experts if body == _FP32_BYTES else 0
        return Need(run, mapped=mapped, prepare=_ONNX + _PREPARING + 4 * size.products)

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
_PREPARING, _COMPILING, _TRACING, _STEP, _GATHERED = (n * _MB for n in (20, 350, 710, 240, 330))
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
