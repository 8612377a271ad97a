"""Everything about this machine that explains a result, read in one go."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import msgspec
import psutil

import tuibench
from tuibench import paths
from tuibench.core import format as fmt
from tuibench.core.machine.advice import Problem, Surroundings, consequences, problems
from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.machine.validity import Conditions, others_share, stolen_share
from tuibench.machine.bandwidth import BandwidthError, read_bandwidth
from tuibench.machine.cgroup import memory_limit_bytes, own_groups
from tuibench.machine.conditions import read_conditions
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.machine.fingerprint import machine_header
from tuibench.machine.lock import somebody_measures, unseen_measurements
from tuibench.measure.run.commit import running_commit
from tuibench.methods import available_methods
from tuibench.models.cache import disk_bytes

_WATCHED_S = 1.0
_NAMED_PROCESSES = 3
_NAMED_SHARE = 0.05
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


class CpuUse(msgspec.Struct, frozen=True):
    """Which CPUs a measurement may use, and how many threads it should."""

    n_machine: int
    n_allowed: int
    """By the affinity mask."""
    n_cores: int
    """That those belong to."""
    quota: float | None
    capacity: float
    """CPUs' worth of time within both: what shares of the CPUs are of."""
    smt: bool
    n_threads_advised: int


class Now(msgspec.Struct, frozen=True):
    """The machine at this moment. None where the system does not tell."""

    others_share: float | None
    """Of the CPUs that may be used."""
    stolen_share: float | None
    n_throttled: int | None
    """Since the control group was made."""
    clock_khz: int | None
    on_battery: bool | None
    memory_free_bytes: int
    memory_limit_bytes: int | None
    energy_readable: bool
    thermal_readable: bool
    huge_pages: str | None


class Examination(msgspec.Struct, frozen=True):
    """What `tuibench doctor` tells."""

    tuibench_version: str
    tuibench_commit: str | None
    machine: MachineHeader
    """With the read bandwidth for the advised number of threads, where it could be measured."""
    cpus: CpuUse
    now: Now
    consequences: tuple[str, ...]
    cache_folder: str
    cache_bytes: dict[str, int]
    """By what is kept in it."""
    disk_free_bytes: int | None
    bandwidth_failure: str | None
    problems: tuple[Problem, ...]


async def examine(*, again: bool = False) -> Examination:
    """Look at the machine for a second, and measure its read bandwidth unless today's is known.

    Args:
        again: Measure it even then.
    """
    machine, cpus = machine_header(), effective_cpus()
    processes = _Processes()
    before = _read()
    await asyncio.sleep(_WATCHED_S)
    after = _read()
    surroundings = _surroundings(cpus, processes.busiest())
    machine, failure = await _with_bandwidth(machine, cpus, again=again, busy=surroundings.someone_measures)
    return Examination(
        tuibench_version=tuibench.__version__,
        tuibench_commit=running_commit(),
        machine=machine,
        cpus=CpuUse(
            n_machine=cpus.n_machine,
            n_allowed=cpus.n_allowed,
            n_cores=cpus.n_cores,
            quota=cpus.quota,
            capacity=machine.capacity_cpus,
            smt=cpus.smt,
            n_threads_advised=cpus.n_threads,
        ),
        now=_now(before, after, surroundings),
        consequences=consequences(machine),
        cache_folder=str(paths.cache_dir()),
        cache_bytes=_cache_sizes(),
        disk_free_bytes=surroundings.disk_free_bytes,
        bandwidth_failure=failure,
        problems=problems(machine, surroundings, before, after),
    )


def _read() -> Conditions:
    """Return the conditions with nothing being measured."""
    return replace(read_conditions(), worker_ns=0)


class _Processes:
    """Who uses the CPU, from now on."""

    def __init__(self) -> None:
        self._watched = [process for process in psutil.process_iter(["name"]) if process.pid != os.getpid()]
        self.busiest()

    def busiest(self) -> tuple[str, ...]:
        """Return the names of the busiest since the last call, each with its share of one core."""
        shares: list[tuple[float, str]] = []
        for process in self._watched:
            with suppress(psutil.Error):
                shares.append((process.cpu_percent(None) / 100, process.info["name"] or str(process.pid)))
        busy = sorted((share for share in shares if share[0] >= _NAMED_SHARE), reverse=True)
        return tuple(f"{name} {fmt.percent(share)}" for share, name in busy[:_NAMED_PROCESSES])


def _surroundings(cpus: EffectiveCpus, busiest: tuple[str, ...]) -> Surroundings:
    folder = paths.cache_dir()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        disk_free_bytes = shutil.disk_usage(existing).free
    except OSError:
        disk_free_bytes = None
    needed = {
        name.partition(".")[0]
        for method in available_methods().values()
        if method.runtime is None
        for name in method.requires
    }
    return Surroundings(
        quota_cpus=cpus.quota,
        memory_free_bytes=min(psutil.virtual_memory().available, _memory_limit() or 1 << 62),
        cache_writable=os.access(existing, os.W_OK | os.X_OK),
        disk_free_bytes=disk_free_bytes,
        someone_measures=somebody_measures(paths.measurement_lock()),
        unseen_measurements=unseen_measurements(),
        busy_processes=busiest,
        missing_libraries=tuple(sorted(name for name in needed if find_spec(name) is None)),
    )


def _memory_limit() -> int | None:
    return memory_limit_bytes(own_groups("memory"))


async def _with_bandwidth(
    machine: MachineHeader, cpus: EffectiveCpus, *, again: bool, busy: bool
) -> tuple[MachineHeader, str | None]:
    if busy:
        return machine, "not measured, for it would disturb the measurement that is going on"
    try:
        read_bytes_per_s = await read_bandwidth(cpus.n_threads, again=again)
    except BandwidthError as error:
        return machine, str(error)
    return msgspec.structs.replace(machine, read_bytes_per_s=read_bytes_per_s), None


def _now(before: Conditions, after: Conditions, surroundings: Surroundings) -> Now:
    try:
        huge_pages = _HUGE_PAGES.read_text().partition("[")[2].partition("]")[0] or None
    except OSError:
        huge_pages = None
    return Now(
        others_share=others_share(before, after),
        stolen_share=stolen_share(before, after),
        n_throttled=after.n_throttled,
        clock_khz=after.clock_khz,
        on_battery=after.on_battery,
        memory_free_bytes=surroundings.memory_free_bytes,
        memory_limit_bytes=_memory_limit(),
        energy_readable=after.energy_uj is not None,
        thermal_readable=after.n_hot is not None,
        huge_pages=huge_pages,
    )


def _cache_sizes() -> dict[str, int]:
    folder = paths.cache_dir()
    if not folder.is_dir():
        return {}
    return {child.name: disk_bytes(child) for child in sorted(folder.iterdir()) if child.is_dir()}
