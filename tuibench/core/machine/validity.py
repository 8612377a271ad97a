"""Whether a trial's figures can be trusted: two readings of the machine, and what changed between them.

Every limit stands in one table. A reason is a sentence with its number; the lamp is the colour of the worst of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tuibench.core import format as fmt


class Lamp(StrEnum):
    """How far a trial can be trusted."""

    GREEN = "green"
    """Nothing was seen that could have disturbed it."""
    YELLOW = "yellow"
    """Something was: small differences between trials may come from it."""
    RED = "red"
    """The figures say more about the disturbance than about the method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """One reading of the machine. Counters run since some past moment; None where the system does not tell."""

    monotonic_ns: int
    """Time that stops while the machine is suspended."""
    boot_ns: int | None = None
    """Time that does not."""
    wall_ns: int
    n_cpus: int
    """Logical CPUs that the two figures below are summed over: those that the affinity mask allows."""
    capacity_cpus: float | None = None
    """CPUs' worth of time that may be used on them, which every share is of; None where no quota allows less."""
    tick_ns: int = 10_000_000
    """Grain of the processor-time counters."""
    busy_ns: int | None = None
    """Time those CPUs worked, for whomever."""
    stolen_ns: int | None = None
    """Time they wanted to work and the hypervisor ran something else."""
    worker_ns: int | None = None
    """CPU time of the measured process."""
    observer_ns: int = 0
    """CPU time of the process that started it, and watches."""
    n_throttled: int | None = None
    throttled_ns: int | None = None
    """Waiting for the control group's next quota."""
    n_swapped_pages: int | None = None
    """In and out, the whole machine."""
    worker_major_faults: int | None = None
    """Pages that the measured process had to wait for the disk for."""
    n_hot: int | None = None
    """Times a core or package slowed down because of heat."""
    clock_khz: int | None = None
    on_battery: bool | None = None
    energy_uj: int | None = None
    """What the processor packages used; wraps around at `energy_range_uj`."""
    energy_range_uj: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """From which value on a lamp changes its colour; None: never."""

    yellow: float
    red: float | None


LIMITS = {
    "others": Limits(0.05, 0.20),  # share of our CPUs that processes beside worker and observer took
    "stolen": Limits(0.01, 0.05),  # share of our CPUs' time
    "observer": Limits(0.02, 0.05),  # share of our CPUs that the dashboard and samplers used
    "throttled": Limits(1, 3),  # periods in which the quota was used up
    "clock": Limits(0.10, 0.25),  # share of the clock rate lost since the fastest reading of the run
    "swapped": Limits(64, 4096),  # pages, 256 KiB and 16 MiB
    "major_faults": Limits(1, 100),  # pages
    "hot": Limits(1, None),  # events
    "suspended": Limits(0.05, 0.05),  # seconds
    "stood_still": Limits(0.25, 0.25),  # seconds
    "wall_jump": Limits(1.0, None),  # seconds; no interval is measured with the wall clock
}


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A reason to distrust a trial."""

    lamp: Lamp
    reason: str


def lamp_of(doubts: Iterable[Disturbance]) -> Lamp:
    """Return the colour of the worst reason; green without any."""
    lamps = {doubt.lamp for doubt in doubts}
    return next((lamp for lamp in (Lamp.RED, Lamp.YELLOW) if lamp in lamps), Lamp.GREEN)


def doubts_between(before: Conditions, after: Conditions) -> tuple[Disturbance, ...]:
    """Return what happened between two readings that a trial's figures may suffer from."""
    judged = [
        _judge("others", others_share(before, after), "other processes used {} of the CPU", fmt.percent),
        _judge("stolen", stolen_share(before, after), "CPU time stolen by the hypervisor: {}", fmt.share),
        _judge("observer", observer_share(before, after), "dashboard and samplers used {} of the CPU", fmt.share),
        _throttled(before, after),
        _clock(before, after),
        _judge(
            "swapped", _rise(before.n_swapped_pages, after.n_swapped_pages), "pages that the machine swapped: {:.0f}"
        ),
        _judge(
            "major_faults",
            _rise(before.worker_major_faults, after.worker_major_faults),
            "waits of the worker for the disk (major page faults): {:.0f}",
        ),
        _judge("hot", _rise(before.n_hot, after.n_hot), "times the processor slowed down because of heat: {:.0f}"),
        _judge("suspended", _suspended_s(before, after), "the machine was suspended for {:.1f} s"),
        _judge("wall_jump", _wall_jump_s(before, after), "the wall clock was set by {:.1f} s"),
        _power(before, after),
    ]
    return tuple(doubt for doubt in judged if doubt is not None)


_COUNTERS = (
    *("monotonic_ns", "boot_ns", "wall_ns", "busy_ns", "stolen_ns", "worker_ns", "observer_ns", "n_throttled"),
    *("throttled_ns", "n_swapped_pages", "worker_major_faults", "n_hot"),
)


def without_pause(before: Conditions, paused: Conditions, resumed: Conditions) -> Conditions:
    """Return what `before` would have been if nothing had been counted between two later readings.

    What happened while others had their turn is theirs.
    """
    counts = {name: (getattr(before, name), getattr(paused, name), getattr(resumed, name)) for name in _COUNTERS}
    moved: dict[str, Any] = {
        name: start + (end - middle) if None not in (start, middle, end) else None
        for name, (start, middle, end) in counts.items()
    }
    used_uj = energy_uj(paused, resumed)
    energy = None if before.energy_uj is None or used_uj is None else before.energy_uj + used_uj
    if energy is not None and before.energy_range_uj:
        energy %= before.energy_range_uj
    return replace(before, energy_uj=energy, **moved)


def standstill_doubt(stood_still_ns: int | None) -> Disturbance | None:
    """Return what the worker's own account of having stood still says about a trial."""
    seconds = None if stood_still_ns is None else stood_still_ns / 1e9
    return _judge("stood_still", seconds, "the worker stood still for {:.1f} s: stopped, frozen or held up by a disk")


def others_share(before: Conditions, after: Conditions) -> float | None:
    """Return the share of our CPUs that others took: what neither worker nor observer used, less the counters' grain.

    With a quota below the CPUs of the mask, others take first what no quota lets us use.
    """
    busy = _rise(before.busy_ns, after.busy_ns)
    worker = _rise(before.worker_ns, after.worker_ns)
    if busy is None or worker is None:
        return None
    grain_ns = before.tick_ns * before.n_cpus
    spare_ns = (after.monotonic_ns - before.monotonic_ns) * (before.n_cpus - _capacity_cpus(before))
    others_ns = busy - worker - (after.observer_ns - before.observer_ns) - grain_ns - spare_ns
    return _share(max(0, others_ns), before, after)


def stolen_share(before: Conditions, after: Conditions) -> float | None:
    """Return the share of our CPUs' time that the hypervisor gave to somebody else.

    Where more worked than our quota allows, what was stolen is shared out by the time that was wanted.
    """
    stolen = _rise(before.stolen_ns, after.stolen_ns)
    if stolen is None:
        return None
    all_ns = (after.monotonic_ns - before.monotonic_ns) * before.n_cpus
    wanted_ns = min(all_ns, stolen + (_rise(before.busy_ns, after.busy_ns) or 0))
    return stolen / max(wanted_ns, _capacity_ns(before, after)) if all_ns > 0 else None


def observer_share(before: Conditions, after: Conditions) -> float | None:
    """Return the share of our CPUs that this program used beside the worker."""
    return _share(after.observer_ns - before.observer_ns, before, after)


def energy_uj(before: Conditions, after: Conditions) -> int | None:
    """Return the energy that the processor packages used; None where it cannot be read."""
    if before.energy_uj is None or after.energy_uj is None:
        return None
    used = after.energy_uj - before.energy_uj
    return used if used >= 0 else used + (after.energy_range_uj or 0)


def _share(cpu_ns: float, before: Conditions, after: Conditions) -> float | None:
    capacity_ns = _capacity_ns(before, after)
    return cpu_ns / capacity_ns if capacity_ns > 0 else None


def _capacity_ns(before: Conditions, after: Conditions) -> float:
    return (after.monotonic_ns - before.monotonic_ns) * _capacity_cpus(before)


def _capacity_cpus(reading: Conditions) -> float:
    return reading.n_cpus if reading.capacity_cpus is None else reading.capacity_cpus


def _judge(
    name: str, value: float | None, sentence: str, written: Callable[[float], object] = float
) -> Disturbance | None:
    """Return what a value amounts to by its limits; the sentence is formatted with the value as it is written."""
    limits = LIMITS[name]
    if value is None or value < limits.yellow:
        return None
    lamp = Lamp.RED if limits.red is not None and value >= limits.red else Lamp.YELLOW
    return Disturbance(lamp, sentence.format(written(value)))


def _rise(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _throttled(before: Conditions, after: Conditions) -> Disturbance | None:
    waited_ms = (_rise(before.throttled_ns, after.throttled_ns) or 0) / 1e6
    sentence = "periods in which the CPU quota held threads back: {:.0f}" + f" ({waited_ms:.0f} ms in all)"
    return _judge("throttled", _rise(before.n_throttled, after.n_throttled), sentence)


def _clock(before: Conditions, after: Conditions) -> Disturbance | None:
    if not before.clock_khz or not after.clock_khz:
        return None
    rates = f"{after.clock_khz / 1e6:.2f} GHz, {before.clock_khz / 1e6:.2f} before"
    return _judge(
        "clock", 1 - after.clock_khz / before.clock_khz, "the clock rate fell by {} (" + rates + ")", fmt.percent
    )


def _suspended_s(before: Conditions, after: Conditions) -> float | None:
    if before.boot_ns is None or after.boot_ns is None:
        return None
    return ((after.boot_ns - before.boot_ns) - (after.monotonic_ns - before.monotonic_ns)) / 1e9


def _wall_jump_s(before: Conditions, after: Conditions) -> float | None:
    start_ns = before.monotonic_ns if before.boot_ns is None else before.boot_ns
    end_ns = after.monotonic_ns if after.boot_ns is None else after.boot_ns
    return abs((after.wall_ns - before.wall_ns) - (end_ns - start_ns)) / 1e9


def _power(before: Conditions, after: Conditions) -> Disturbance | None:
    if before.on_battery is not None and after.on_battery is not None and before.on_battery != after.on_battery:
        return Disturbance(Lamp.RED, f"the power source changed to {'battery' if after.on_battery else 'mains'}")
    return Disturbance(Lamp.YELLOW, "running on battery") if after.on_battery else None
