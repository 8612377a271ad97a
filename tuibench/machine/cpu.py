"""The processor as the kernel describes it: its name and its instruction sets, on x86 and on ARM."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_DECIDING = (
    "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile",
    "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
_VNNI = frozenset({"avx_vnni", "avx512_vnni"})


@cache
def cpuinfo() -> dict[str, str]:
    """Return the first processor's entries; empty where there is no such file."""
    try:
        text = _CPUINFO.read_text()
    except OSError:
        return {}
    first, _, _ = text.partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_name() -> str:
    """Return the processor's name as it gives it."""
    return cpuinfo().get("model name") or platform.processor() or platform.machine()


@cache
def reported_by_cpu() -> frozenset[str]:
    """Return all that the kernel names: `flags` on x86, `Features` on ARM."""
    return frozenset((cpuinfo().get("flags") or cpuinfo().get("Features") or "").split())


def instruction_sets() -> tuple[str, ...]:
    """Return those that decide the speed of inference and that this processor has."""
    return tuple(name for name in _DECIDING if name in reported_by_cpu())


def has_vnni() -> bool:
    """Return whether products of 8-bit integers add up in 32 bits; older CPUs saturate at 16."""
    return not _VNNI.isdisjoint(reported_by_cpu())
