"""Which methods can be taken, and what their folders are made of."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Scripts:
    """What runs a method outside of here."""

    templates: tuple[tuple[str, str], ...]
    """Files in the folder, and the templates that they are copies of."""
    modules: tuple[str, ...] = ()
    """Modules of ours that are copied as they are: they import none of the others."""
    libraries: tuple[str, ...] = ()
    """What has to be installed, by the names of the package index."""
    needs_tuibench: bool = False
    """Whether they run what is compiled by this program, which has to be installed, too."""


_ENGINES = "tuibench.engines"
_CACHED = ("torch_kv_cache.py", f"{_ENGINES}.torch.dispatch", f"{_ENGINES}.torch.preallocated")
_ONNX = ("numpy", "onnxruntime", "tokenizers")
_TORCH = ("numpy", "tokenizers", "torch", "transformers")
_KERNELS = Scripts((("model.py", "fused_kernels.py"),), (), ("numba", "numpy", "tokenizers"), needs_tuibench=True)
_FUSED_GRAPH = Scripts((("model.py", "onnx_fused.py"),), (), _ONNX)

SCRIPTS = MappingProxyType(
    {
        "baseline": Scripts((("model.py", "torch_baseline.py"),), _CACHED[1:2], _TORCH),
        "kv-cache": Scripts((("model.py", _CACHED[0]),), _CACHED[1:], _TORCH),
        "kv-cache-bf16": Scripts((("model.py", "torch_bf16.py"), ("kv_cache.py", _CACHED[0])), _CACHED[1:], _TORCH),
        "kv-cache-lookup": Scripts(
            (("model.py", "torch_lookup.py"), ("kv_cache.py", _CACHED[0])), (*_CACHED[1:], f"{_ENGINES}.lookup"), _TORCH
        ),
        "int8-torch": Scripts(
            (("model.py", "torch_int8.py"), ("kv_cache.py", _CACHED[0])),
            (*_CACHED[1:], f"{_ENGINES}.torch.int8_layers"),
            _TORCH,
        ),
        "onnx": Scripts((("model.py", "onnx_exported.py"),), (), _ONNX),
        "onnx-fused": _FUSED_GRAPH,
        "int8-dynamic": _FUSED_GRAPH,
        "int8-static": _FUSED_GRAPH,
        "int4-onnx": _FUSED_GRAPH,
        "fused-fp32": _KERNELS,
        "fused-int8": _KERNELS,
        "fused-int4": _KERNELS,
        "fused-int8-lookup": _KERNELS,
    }
)
"""By method."""

CALIBRATED = frozenset({"int8-dynamic", "int8-static", "int4-onnx"})
"""Methods whose weights or ranges depend on a text."""


def why_not(method: str) -> str | None:
    """Return why an installed method cannot be taken; None for one that can."""
    if method in SCRIPTS:
        return None
    return f"tuibench does not know how to take {method}; what it can take: {', '.join(SCRIPTS)}"
