"""From what a machine is to what that means for inference, and what to change before measuring on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tuibench.core import format as fmt
from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.machine.validity import Conditions, Lamp, doubts_between

_LITTLE_MEMORY_BYTES = 2 << 30
_LITTLE_DISK_BYTES = 3 << 30
"""The default model, and one exported graph of it for each method."""
_STEADY_GOVERNORS = frozenset({"performance", "userspace"})


class Problem(msgspec.Struct, frozen=True):
    """Something that would make a measurement here doubtful or impossible now."""

    lamp: Lamp
    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What beside the machine itself decides whether it can be measured on."""

    quota_cpus: float | None
    memory_free_bytes: int
    """What the system can give without swapping, within the control group's limit."""
    cache_writable: bool
    disk_free_bytes: int | None
    someone_measures: bool
    """Whether another tuibench holds the measurement lock."""
    unseen_measurements: str | None
    """Whose measurements that lock cannot tell of, and what would change that: two parts with a colon between."""
    busy_processes: tuple[str, ...]
    """Names of those that use the most CPU, with their share of one core."""
    missing_libraries: tuple[str, ...]


def consequences(machine: MachineHeader) -> tuple[str, ...]:
    """Return what the processor's instruction sets mean for the methods."""
    isa = set(machine.isa)
    return tuple(_integer_consequences(isa)) + tuple(_float_consequences(isa))


def _integer_consequences(isa: set[str]) -> Iterator[str]:
    if isa & {"avx512_vnni", "avx_vnni", "asimddp"}:
        yield "8-bit products add up in 32 bits (VNNI or dot product): INT8 and INT4 methods cannot saturate"
    elif "avx2" in isa:
        yield (
            "no VNNI: 8-bit products saturate at 16 bits, which turns plain dynamic INT8 into garbage on some models; "
            "the INT8 methods here avoid it and pay with more instructions"
        )
    if isa & {"amx_int8", "i8mm"}:
        yield "8-bit matrix tiles (AMX or i8mm): reading the prompt in INT8 is much faster, decoding is not"


def _float_consequences(isa: set[str]) -> Iterator[str]:
    if "avx512f" in isa:
        yield "AVX-512: 16 FP32 numbers an instruction; reading the prompt profits, decoding waits for memory"
    elif "avx2" in isa:
        yield "AVX2: 8 FP32 numbers an instruction, enough for decoding to be bound by memory"
    elif "avx" in isa:
        yield "no AVX2: libraries take their slowest kernels"
    if isa & {"avx512_bf16", "amx_bf16", "bf16"}:
        yield "BF16 arithmetic is there; no method uses it yet"


def problems(
    machine: MachineHeader, surroundings: Surroundings, before: Conditions, after: Conditions
) -> tuple[Problem, ...]:
    """Return what should be mended before measuring, the worst first.

    Args:
        machine: What it is.
        surroundings: What else decides.
        before: Its conditions while nothing was measured…
        after: …and a moment later.
    """
    found = [
        *_lasting_problems(machine, surroundings),
        *_passing_problems(surroundings, before, after),
    ]
    return tuple(sorted(found, key=lambda problem: problem.lamp is not Lamp.RED))


def _lasting_problems(machine: MachineHeader, surroundings: Surroundings) -> Iterator[Problem]:
    for name in surroundings.missing_libraries:
        yield Problem(Lamp.RED, f"the library {name} is not installed", f"pip install {name}")
    quota = surroundings.quota_cpus
    if quota is not None and quota < 1:
        what = f"the container may use {quota:.3g} CPUs: every thread is held back in mid-token"
        yield Problem(Lamp.RED, what, "raise its CPU limit to a whole number (docker run --cpus 2)")
    elif quota is not None and quota != int(quota):
        what = f"the container may use {quota:.3g} CPUs: the last one is there part of the time only"
        yield Problem(Lamp.YELLOW, what, f"measure with --threads {int(quota)} (the default), or raise the limit")
    if machine.governor is not None and not set(machine.governor.split(", ")) <= _STEADY_GOVERNORS:
        what = f"frequency governor {machine.governor}: the clock follows the load"
        yield Problem(Lamp.YELLOW, what, "for steadier figures: sudo cpupower frequency-set -g performance")
    if not surroundings.cache_writable:
        what = "the cache folder cannot be written: models and graphs cannot be kept"
        yield Problem(Lamp.RED, what, "mend its permissions, or name another in TUIBENCH_CACHE")
    elif surroundings.disk_free_bytes is not None and surroundings.disk_free_bytes < _LITTLE_DISK_BYTES:
        what = f"only {fmt.size(surroundings.disk_free_bytes)} are free where models and graphs are kept"
        yield Problem(Lamp.YELLOW, what, "free some space (tuibench models rm), or name another disk in TUIBENCH_CACHE")


def _passing_problems(surroundings: Surroundings, before: Conditions, after: Conditions) -> Iterator[Problem]:
    if surroundings.someone_measures:
        yield Problem(Lamp.YELLOW, "another tuibench is measuring: a run would wait for it", "wait until it is over")
    if surroundings.unseen_measurements is not None:
        what, _, remedy = surroundings.unseen_measurements.partition(": ")
        yield Problem(Lamp.YELLOW, what, remedy)
    if surroundings.memory_free_bytes < _LITTLE_MEMORY_BYTES:
        what = f"only {fmt.size(surroundings.memory_free_bytes)} of memory are free"
        yield Problem(Lamp.YELLOW, what, "close something: a model that does not fit is swapped or killed")
    for doubt in doubts_between(before, after):
        remedy = next((text for sign, text in _REMEDIES.items() if sign in doubt.reason), "measure at a quieter time")
        if "other processes" in doubt.reason and surroundings.busy_processes:
            remedy = f"end or pause them ({', '.join(surroundings.busy_processes)})"
        yield Problem(doubt.lamp, doubt.reason, remedy)


_REMEDIES = {
    "stolen": "the host is overbooked: a dedicated machine or another time",
    "quota": "raise the container's CPU limit, or use fewer threads",
    "swapped": "free memory, or switch swap off while measuring",
    "heat": "let it cool down, see to its fan",
    "battery": "plug it in",
    "wall clock": "nothing to do: no interval is measured with it",
}
