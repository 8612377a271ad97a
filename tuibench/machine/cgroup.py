"""The control groups this process runs in: how much CPU and memory they allow, and how often they held it back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tuibench.machine.kernel_files import read_now

_OWN = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_UNLIMITED_BYTES = 1 << 62
"""Version 1 spells "no limit" as the largest multiple of a page."""


@dataclass(frozen=True, slots=True)
class Throttling:
    """How often a CPU quota was used up since the groups were made, and for how long threads waited then."""

    n_periods: int
    waited_ns: int


@cache
def own_groups(controller: str = "cpu", own: Path = _OWN, mount: Path = _MOUNT) -> tuple[Path, ...]:
    """Return the folders of this process's groups, innermost first: the tightest of them is the limit.

    Args:
        controller: `cpu` or `memory`, which version 1 keeps in trees of their own.
        own: Where the kernel names the groups; inside a container the names may belong to the host's tree.
        mount: Where the trees are mounted.
    """
    found: dict[Path, None] = {}
    for line in _lines(str(own)):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        for root in _roots(mount, controllers):
            # "/../name": a group outside what this process may see.
            inner = root if ".." in path else root / path.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(root) and folder.is_dir():
                    found[folder] = None
    return tuple(found)


def _roots(mount: Path, controllers: str) -> Iterator[Path]:
    """Yield where a hierarchy may be mounted; version 2 alone has no name."""
    names = [controllers, *controllers.split(",")] if controllers else ["unified", ""]
    for name in dict.fromkeys(names):
        root = mount / name if name else mount
        if root.is_dir():
            yield root
            return


def quota_cpus(groups: tuple[Path, ...]) -> float | None:
    """Return how many CPUs' worth of time the groups may use; None without a limit."""
    quotas = [quota for group in groups if (quota := _quota(group)) is not None]
    return min(quotas, default=None)


def _quota(group: Path) -> float | None:
    words = " ".join(_lines(f"{group}/cpu.max")).split()
    if not words:
        words = [*_lines(f"{group}/cpu.cfs_quota_us"), *_lines(f"{group}/cpu.cfs_period_us")]
    try:
        quota_us, period_us = map(int, words)
    except ValueError:  # "max", or a folder that has neither file
        return None
    return quota_us / period_us if quota_us > 0 < period_us else None


def memory_limit_bytes(groups: tuple[Path, ...]) -> int | None:
    """Return how much memory the groups may use; None without a limit."""
    texts = [
        text
        for group in groups
        for name in ("memory.max", "memory.limit_in_bytes")
        for text in _lines(f"{group}/{name}")
    ]
    limits = [int(text) for text in texts if text.isdigit() and int(text) < _UNLIMITED_BYTES]
    return min(limits, default=None)


def free_bytes(groups: tuple[Path, ...]) -> int | None:
    """Return how much more memory the groups may use, cached files not counted; None without a limit."""
    free = [found for group in groups if (found := _free_bytes(group)) is not None]
    return min(free, default=None)


def _free_bytes(group: Path) -> int | None:
    limit_bytes = memory_limit_bytes((group,))
    used = [*_lines(f"{group}/memory.current"), *_lines(f"{group}/memory.usage_in_bytes")]
    if limit_bytes is None or not used:
        return None
    stat = dict(line.split(maxsplit=1) for line in _lines(f"{group}/memory.stat") if " " in line)
    cached_bytes = int(stat.get("inactive_file", stat.get("total_inactive_file", 0)))
    return max(0, limit_bytes - int(used[0]) + cached_bytes)


def throttling(groups: tuple[Path, ...]) -> Throttling | None:
    """Return how far the groups' quotas held their processes back so far; None where no group has one."""
    n_periods = waited_ns = 0
    counted = False
    for group in groups:
        stat = dict(line.split(maxsplit=1) for line in _lines(f"{group}/cpu.stat") if " " in line)
        if "nr_throttled" in stat:
            counted = True
            n_periods += int(stat["nr_throttled"])
            waited_ns += int(stat.get("throttled_usec", 0)) * 1000 + int(stat.get("throttled_time", 0))
    return Throttling(n_periods, waited_ns) if counted else None


def _lines(path: str) -> list[str]:
    return read_now(path).splitlines()
