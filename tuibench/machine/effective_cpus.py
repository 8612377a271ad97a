"""How many CPUs a measurement may really use: affinity, control-group quota, and physical cores among them."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.machine.cgroup import own_groups, quota_cpus

CPUS = Path("/sys/devices/system/cpu")


def effective_cpus() -> EffectiveCpus:
    """Return what this process may use now. Affinity and quota can change while it runs."""
    allowed = os.sched_getaffinity(0)
    return EffectiveCpus(
        n_machine=os.cpu_count() or len(allowed),
        n_allowed=len(allowed),
        n_cores=count_cores(frozenset(allowed)),
        quota=quota_cpus(own_groups()),
    )


@cache
def count_cores(cpus: AbstractSet[int], root: Path = CPUS) -> int:
    """Return how many physical cores some logical CPUs belong to; a CPU of unknown topology counts as a core."""
    return len({_siblings(cpu, root) for cpu in cpus})


def _siblings(cpu: int, root: Path) -> str:
    """Return the CPUs of one core, as the kernel spells them: the same text for each of them."""
    topology = root / f"cpu{cpu}" / "topology"
    for name in ("core_cpus_list", "thread_siblings_list"):
        try:
            return (topology / name).read_text().strip()
        except OSError:
            continue
    return str(cpu)
