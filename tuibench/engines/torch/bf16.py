"""Which instructions multiply BF16 numbers on this processor, under PyTorch."""

from __future__ import annotations

import torch

from tuibench.machine.cpu import reported_by_cpu

_OF_ONEDNN = {
    "amx_bf16": "AMX-BF16, in oneDNN",
    "avx512_bf16": "AVX512-BF16, in oneDNN",
    "bf16": "BF16 of ARMv8.6, in oneDNN",
}


def instructions() -> str:
    """Return what multiplies BF16 numbers here; PyTorch asks oneDNN itself whether it has kernels for that."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001 - no public way to ask
        return f"none: widened to FP32 for every product ({torch.backends.cpu.get_cpu_capability()})"
    found = next((told for name, told in _OF_ONEDNN.items() if name in reported_by_cpu()), None)
    return found or "none: widened to FP32 by oneDNN's kernels (AVX512)"
