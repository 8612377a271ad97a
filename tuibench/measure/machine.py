"""The machine a run took place on: what it is, and what of it this process may use."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tuibench.core.fingerprint import MachineHeader

_CPUINFO = Path("/proc/cpuinfo")
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
_ISA = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "neon")
_LIBRARIES = ("torch", "transformers", "onnxruntime", "onnx", "numba", "numpy", "textual")


@cache
def _cpuinfo() -> dict[str, str]:
    """Return the first processor's entries."""
    try:
        first, _, _ = _CPUINFO.read_text().partition("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_name() -> str:
    """Return the processor's name as it gives it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def isa_flags() -> tuple[str, ...]:
    """Return the instruction sets that decide the speed of inference."""
    flags = set(_cpuinfo().get("flags", "").split())
    return tuple(flag for flag in _ISA if flag in flags)


def quota_cpus() -> float | None:
    """Return how many CPUs' worth of time the cgroup may use; None without a limit."""
    try:
        quota, period = _CPU_MAX.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def effective_cpus() -> int:
    """Return how many CPUs this process may really use: affinity and cgroup quota, not what the machine has."""
    allowed = len(os.sched_getaffinity(0))
    quota = quota_cpus()
    return allowed if quota is None else max(1, min(allowed, round(quota)))


def default_threads() -> int:
    """Return the thread count that decoding wants: one per physical core that this process may use."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return max(1, min(physical, effective_cpus()))


def cpu_label() -> str:
    """Return name, cores and widest instruction set, for a header line."""
    flags = isa_flags()
    widest = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    vnni = "VNNI" if {"avx512_vnni", "avx_vnni"} & set(flags) else ""
    name = cpu_name().replace("(R)", "").replace("(TM)", "").replace(" Processor", "").strip()
    return " · ".join(part for part in (name, f"{effective_cpus()} cores", widest, vnni) if part)


def machine_header() -> MachineHeader:
    """Return what a session keeps of the machine. No host name, no user name."""
    return MachineHeader(
        cpu=cpu_name(),
        isa=isa_flags(),
        n_cpus=os.cpu_count() or 1,
        n_cpus_effective=effective_cpus(),
        memory_bytes=psutil.virtual_memory().total,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        libraries={name: found for name in _LIBRARIES if (found := _installed(name))},
    )


def validity_flags(n_threads: int) -> tuple[str, ...]:
    """Return the reasons known before a run to distrust what it will measure."""
    cpus = effective_cpus()
    return (f"{n_threads} threads on {cpus} usable CPUs",) if n_threads > cpus else ()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
