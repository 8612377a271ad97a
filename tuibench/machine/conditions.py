"""Reading the machine's conditions before and after a trial, in well under a millisecond."""

from __future__ import annotations

import os
import re
import time
from functools import cache
from pathlib import Path

from tuibench.core.machine.validity import Conditions
from tuibench.machine.cgroup import own_groups, throttling
from tuibench.machine.cpu_clocks import cpu_ns
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.machine.kernel_files import read_now

_PROC = Path("/proc")
_SYS = Path("/sys")
_MAX_CLOCKS_READ = 8
"""Asking a core for its clock rate may interrupt it."""
_BUSY_FIELDS = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
_STOLEN_FIELD = 7
_SWAPPED = re.compile(r"^pswp(?:in|out) ([0-9]+)$", re.MULTILINE)
# Fields of /proc/PID/stat after the command's name, counted from 0.
_MAJOR_FAULTS, _USER_TICKS, _SYSTEM_TICKS, _REAPED_USER_TICKS, _REAPED_SYSTEM_TICKS = 9, 11, 12, 13, 14


def read_conditions(
    worker_pid: int | None = None, observer_pid: int | None = None, *, proc: Path = _PROC, sys: Path = _SYS
) -> Conditions:
    """Return the machine's conditions now.

    Args:
        worker_pid: The measured process; None leaves its figures out.
        observer_pid: The process that watches it; by default this one.
        proc: The process file system.
        sys: The device file system.
    """
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    cpus = frozenset(os.sched_getaffinity(0))
    busy, stolen = _cpu_ticks(cpus, proc)
    worker_ticks, worker_faults = _process(worker_pid, proc)
    held_back = throttling(own_groups())
    energy_uj, energy_range_uj = _energy(sys)
    return Conditions(
        monotonic_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        boot_ns=_boot_ns(),
        wall_ns=time.time_ns(),
        n_cpus=len(cpus),
        capacity_cpus=effective_cpus().binding_quota,
        tick_ns=tick_ns,
        busy_ns=None if busy is None else busy * tick_ns,
        stolen_ns=None if stolen is None else stolen * tick_ns,
        worker_ns=None if worker_ticks is None else worker_ticks * tick_ns,
        observer_ns=time.process_time_ns() if observer_pid is None else cpu_ns(observer_pid),
        n_throttled=held_back.n_periods if held_back else None,
        throttled_ns=held_back.waited_ns if held_back else None,
        n_swapped_pages=_swapped_pages(proc),
        worker_major_faults=worker_faults,
        n_hot=_sum_of(_hot_files(sys)),
        clock_khz=_clock_khz(cpus, sys),
        on_battery=_on_battery(sys),
        energy_uj=energy_uj,
        energy_range_uj=energy_range_uj,
    )


def _boot_ns() -> int | None:
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only
    return None if clock is None else time.clock_gettime_ns(clock)


def _cpu_ticks(cpus: frozenset[int], proc: Path) -> tuple[int | None, int | None]:
    """Return busy and stolen ticks of some CPUs."""
    busy = stolen = 0
    names = {f"cpu{cpu}" for cpu in cpus}
    seen = False
    for line in read_now(f"{proc}/stat").splitlines():
        if not line.startswith("cpu"):  # the CPUs come first
            break
        name, *texts = line.split()
        if name in names and len(texts) > _STOLEN_FIELD:
            seen = True
            busy += sum(int(texts[field]) for field in _BUSY_FIELDS)
            stolen += int(texts[_STOLEN_FIELD])
    return (busy, stolen) if seen else (None, None)


def _process(pid: int | None, proc: Path) -> tuple[int | None, int | None]:
    """Return the CPU ticks and the major page faults of a process, its buried children's time included."""
    if pid is None:
        return None, None
    _, _, rest = read_now(f"{proc}/{pid}/stat").rpartition(")")
    fields = rest.split()
    if len(fields) <= _REAPED_SYSTEM_TICKS:
        return None, None
    ticks = sum(int(fields[n]) for n in (_USER_TICKS, _SYSTEM_TICKS, _REAPED_USER_TICKS, _REAPED_SYSTEM_TICKS))
    return ticks, int(fields[_MAJOR_FAULTS])


def _swapped_pages(proc: Path) -> int | None:
    counts = _SWAPPED.findall(read_now(f"{proc}/vmstat"))
    return sum(map(int, counts)) if counts else None


@cache
def _hot_files(sys: Path) -> tuple[str, ...]:
    return tuple(map(str, sys.glob("devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")))


def _clock_khz(cpus: frozenset[int], sys: Path) -> int | None:
    """Return the fastest of some CPUs' clock rates: the idle ones among them say nothing."""
    rates = (
        _number(f"{sys}/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq")
        for cpu in sorted(cpus)[:_MAX_CLOCKS_READ]
    )
    return max((rate for rate in rates if rate is not None), default=None)


@cache
def _power_supplies(sys: Path) -> tuple[str, ...]:
    folders = map(str, sys.glob("class/power_supply/*"))
    return tuple(folder for folder in folders if read_now(f"{folder}/type").strip() == "Mains")


def _on_battery(sys: Path) -> bool | None:
    """Return whether no mains adapter is plugged in; None on a machine that knows of none."""
    online = [state for folder in _power_supplies(sys) if (state := _number(f"{folder}/online")) is not None]
    return not any(online) if online else None


@cache
def _energy_zones(sys: Path) -> tuple[str, ...]:
    """Return the processor packages' zones, without the parts that they count already."""
    zones = (str(zone) for zone in sys.glob("class/powercap/*:*") if zone.name.count(":") == 1)
    return tuple(zone for zone in zones if read_now(f"{zone}/name").startswith("package"))


def _energy(sys: Path) -> tuple[int | None, int | None]:
    """Return the packages' energy counters added up, and where one of them wraps around."""
    zones = _energy_zones(sys)
    range_uj = _number(f"{zones[0]}/max_energy_range_uj") if zones else None
    return _sum_of(tuple(f"{zone}/energy_uj" for zone in zones)), range_uj


def _sum_of(paths: tuple[str, ...]) -> int | None:
    numbers = [number for path in paths if (number := _number(path)) is not None]
    return sum(numbers) if numbers and len(numbers) == len(paths) else None


def _number(path: str) -> int | None:
    text = read_now(path).strip()
    return int(text) if text.isdigit() else None
