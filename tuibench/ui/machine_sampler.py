"""What this machine is, and how busy it is, once a second: a reading of /proc, nothing more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cpus:
    """What the machine is, in so far as the settings depend on it."""

    label: str
    n_usable: int
    n_default_threads: int


def cpus() -> Cpus:
    """Return those of this machine."""
    from tuibench.machine.fingerprint import (  # noqa: PLC0415 - the first frame need not wait for it
        cpu_label,
        default_threads,
        effective_cpus,
    )

    return Cpus(cpu_label(), effective_cpus(), default_threads())


@dataclass(frozen=True, slots=True)
class MachineSample:
    """One reading."""

    cpu_percent: tuple[float, ...]
    """Per core, since the reading before."""
    memory_used_bytes: int
    memory_total_bytes: int
    load: float | None
    """Mean number of runnable processes in the last minute; None where the system has no such figure."""


def sample_machine() -> MachineSample:
    """Take a reading. The first one of a process reports its cores as idle: there is nothing to compare with."""
    # 20 ms of import that the first frame need not wait for.
    import psutil  # noqa: PLC0415

    memory = psutil.virtual_memory()
    try:
        load = psutil.getloadavg()[0]
    except OSError:
        load = None
    return MachineSample(
        cpu_percent=tuple(psutil.cpu_percent(percpu=True)),
        memory_used_bytes=memory.total - memory.available,
        memory_total_bytes=memory.total,
        load=load,
    )
