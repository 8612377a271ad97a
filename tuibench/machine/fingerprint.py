"""The machine a run takes place on: what it is, and what of it this process may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.machine import effective_cpus as cpus
from tuibench.machine.cpu import cpu_name, instruction_sets, reported_by_cpu
from tuibench.machine.kernel_files import read_now

_LIBRARIES = (
    "torch", "transformers", "tokenizers", "onnxruntime", "onnx", "onnxscript", "numba", "llvmlite", "numpy", "textual",
)  # fmt: skip
_MAX_CPUS_READ = 64
"""Cache sizes and governors of more CPUs tell nothing new."""


def effective_cpus() -> int:
    """Return how many CPUs this process may really use: affinity and cgroup quota, not what the machine has."""
    return cpus.effective_cpus().n_usable


def default_threads() -> int:
    """Return the thread count that decoding wants: one per physical core that this process may use."""
    return cpus.effective_cpus().n_threads


def cpu_label() -> str:
    """Return name, cores and widest instruction set, for a header line."""
    flags = instruction_sets()
    widest = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    vnni = "VNNI" if {"avx512_vnni", "avx_vnni"} & set(flags) else ""
    name = cpu_name().replace("(R)", "").replace("(TM)", "").replace(" Processor", "").strip()
    return " · ".join(part for part in (name, f"{effective_cpus()} cores", widest, vnni) if part)


def machine_header() -> MachineHeader:
    """Return what a session keeps of the machine. No host name, no user name."""
    usable = cpus.effective_cpus()
    return MachineHeader(
        cpu=cpu_name(),
        isa=instruction_sets(),
        n_cpus=usable.n_machine,
        n_cpus_effective=usable.n_usable,
        cpu_quota=usable.binding_quota,
        n_cores_effective=usable.n_threads,
        smt=usable.smt,
        caches=cache_bytes(),
        n_last_caches=n_last_caches(),
        memory_bytes=psutil.virtual_memory().total,
        kernel=f"{platform.system()} {platform.release()}",
        container=container(),
        virtualisation=virtualisation(),
        governor=governor(),
        python=platform.python_version(),
        libraries=libraries(),
    )


def libraries() -> dict[str, str]:
    """Return the installed versions of what inference runs on; nothing is imported for it."""
    return {name: found for name in _LIBRARIES if (found := _installed(name))}


def cache_bytes(root: Path = cpus.CPUS) -> dict[str, int]:
    """Return the size of each level of cache; of unequal cores, the larger."""
    found: dict[str, int] = {}
    for cpu in _own_cpus():
        for index in sorted((root / f"cpu{cpu}" / "cache").glob("index*")):
            level, kind = read_now(f"{index}/level").strip(), read_now(f"{index}/type").strip()
            n_kib = read_now(f"{index}/size").strip().removesuffix("K")
            if kind != "Instruction" and level and n_kib.isdigit():
                name = f"L{level}d" if kind == "Data" else f"L{level}"
                found[name] = max(found.get(name, 0), int(n_kib) * 1024)
    return found


def n_last_caches(root: Path = cpus.CPUS) -> int | None:
    """Return how many caches of the last level the mask's CPUs have; None where the system does not tell."""
    seen: set[int] = set()
    count = 0
    for cpu in sorted(os.sched_getaffinity(0)):
        if cpu in seen:
            continue
        levels = {read_now(f"{index}/level").strip(): index for index in (root / f"cpu{cpu}" / "cache").glob("index*")}
        if not levels:
            return None
        seen |= {cpu, *_cpu_list(read_now(f"{levels[max(levels)]}/shared_cpu_list"))}
        count += 1
    return count


def _cpu_list(text: str) -> Iterator[int]:
    """Yield the CPUs of a list such as `0-3,64-67`."""
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            yield from range(int(first), int(last or first) + 1)


def governor(root: Path = cpus.CPUS) -> str | None:
    """Return how the kernel picks the clock; None where it does not, as in most virtual machines."""
    texts = (read_now(f"{root}/cpu{cpu}/cpufreq/scaling_governor").strip() for cpu in _own_cpus())
    return ", ".join(sorted({text for text in texts if text})) or None


def container(root: Path = Path("/")) -> str | None:
    """Return the kind of container this process runs in; None where no sign of one is seen."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if told := read_now(f"{root}/run/systemd/container").strip():
        return told
    groups = read_now(f"{root}/proc/self/cgroup")
    return next((name for name in ("docker", "kubepods", "containerd", "lxc") if name in groups), None)


def virtualisation(root: Path = Path("/")) -> str | None:
    """Return who provides the virtual machine; None on bare metal."""
    if "hypervisor" not in reported_by_cpu():
        return None
    told = read_now(f"{root}/sys/hypervisor/type").strip() or read_now(f"{root}/sys/class/dmi/id/sys_vendor").strip()
    return told or "unnamed hypervisor"


def _own_cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))[:_MAX_CPUS_READ]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
