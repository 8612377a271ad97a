"""The instruction sets that decide which kernels run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_KNOWN = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8")
_VNNI = frozenset({"avx_vnni", "avx512_vnni"})


@cache
def instruction_sets() -> tuple[str, ...]:
    """Return the ones that this processor has, as the kernel names them."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return ()
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return tuple(name for name in _KNOWN if name in flags)


def has_vnni() -> bool:
    """Return whether products of 8-bit integers add up in 32 bits; older CPUs saturate at 16."""
    return not _VNNI.isdisjoint(instruction_sets())
