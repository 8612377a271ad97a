"""The machine a session was measured on, and what of it decides whether two sessions can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tuibench.core import format as fmt

_SAME_SIZE = 1.05
"""Memory of one kind of machine differs by what firmware and kernel keep."""
_SAME_BANDWIDTH = 1.25
"""Measurements on one shared machine lie this close together."""
_PAINTS = frozenset({"textual", "rich"})
"""Libraries that draw what was measured elsewhere, in a process of its own."""


class MachineHeader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine as its sessions describe it; nothing that names the host or its user.

    What could not be read is None or empty, as is what older versions did not record.
    """

    cpu: str
    isa: tuple[str, ...] = ()
    """Instruction sets that decide the speed of inference, as the kernel names them."""
    n_cpus: int
    """Logical CPUs that the machine has."""
    n_cpus_effective: int
    """Logical CPUs that this process may use: affinity and cgroup quota taken into account."""
    cpu_quota: float | None = None
    """CPUs' worth of time that the control groups allow, where that is less than affinity does."""
    n_cores_effective: int | None = None
    """Physical cores among them: the thread count that decoding wants."""
    smt: bool | None = None
    """Whether some core runs several hardware threads."""
    caches: dict[str, int] = {}
    """Bytes by level (`L1d`, `L2`, `L3`): of one instance, the largest that this process may use."""
    n_last_caches: int | None = None
    """Caches of the last level that the CPUs of the affinity mask have between them: one per die, or group of cores."""
    memory_bytes: int
    kernel: str
    container: str | None = None
    virtualisation: str | None = None
    governor: str | None = None
    """How the kernel picks the clock, for example `performance`."""
    python: str
    read_bytes_per_s: int | None = None
    """Read bandwidth with the session's thread count, measured before the first trial; of two measurements, the higher,
    for whatever disturbs one can only slow it down."""
    first_read_bytes_per_s: int | None = None
    """What the first of two gave; None where there was one: it is repeated if a method then read faster."""
    host: str | None = None
    """Only where the user asked for it."""
    libraries: dict[str, str] = {}

    @property
    def capacity_cpus(self) -> float:
        """CPUs' worth of time that this process may use: what shares of its CPUs are taken of."""
        return self.n_cpus_effective if self.cpu_quota is None else self.cpu_quota

    @property
    def last_cache_bytes(self) -> int | None:
        """Size of one cache of the last level; None where it is not known."""
        return max(self.caches.values(), default=None)

    def caches_in_use_bytes(self, n_threads: int) -> int | None:
        """Return how much the last level holds for so many threads, which may run on as many dies; None: not known."""
        one = self.last_cache_bytes
        return None if one is None else one * max(1, min(n_threads, self.n_last_caches or 1))

    def with_second_reading(self, read_bytes_per_s: int) -> MachineHeader:
        """Return the machine with its read bandwidth measured once more."""
        highest = max(read_bytes_per_s, self.read_bytes_per_s or 0)
        first = self.read_bytes_per_s if self.first_read_bytes_per_s is None else self.first_read_bytes_per_s
        return msgspec.structs.replace(self, read_bytes_per_s=highest, first_read_bytes_per_s=first)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something two machines do not share."""

    what: str
    ours: str
    theirs: str
    matters: bool
    """Whether it makes their speeds incomparable; otherwise it is worth knowing."""
    software: bool = False
    """Whether it is what is installed, not what the machine is."""

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.what}: {self.ours} against {self.theirs}"


def differences(ours: MachineHeader, theirs: MachineHeader) -> tuple[Difference, ...]:
    """Return what differs, the important things first. Something unknown on either side is no difference.

    What can move a figure matters: two sessions are then not compared without a word, and none is resumed.

    | field | matters | because |
    |---|---|---|
    | CPU, instruction sets, caches and their number | yes | they decide which kernels run, and how fast |
    | usable CPUs, usable cores, CPU quota | yes | affinity and quota: what threads share |
    | hardware threads per core | yes | a neighbour on the other one takes half a core |
    | memory | yes, beyond 5 % | other modules, other channels; what no longer fits is read from the disk |
    | read bandwidth | yes, beyond 25 % | decoding is bound by it; below lies the scatter of its own measurement |
    | virtualisation | yes | exits, huge pages and steal time differ |
    | frequency governor | yes | it picks the clock |
    | torch, transformers, onnxruntime, numba, llvmlite, numpy, tokenizers | yes | they are what is measured |
    | onnx, onnxscript | yes | they write the graphs that are measured |
    | textual, rich | no | they draw, in another process than the model's |
    | Python | 3.x yes, 3.x.y no | the loop around each step is interpreted; patches leave its speed alone |
    | kernel | no | each reboot may bring another; what of it matters shows in the bandwidth and the governor |
    | container, CPUs of the machine, host | no | what they decide is counted above as usable |
    | any other library | yes | until it is known to be harmless |
    """
    pairs = [
        ("CPU", ours.cpu, theirs.cpu, True),
        ("instruction sets", *_instruction_sets(ours, theirs), True),
        ("usable CPUs", *_texts(ours.n_cpus_effective, theirs.n_cpus_effective), True),
        ("CPU quota", *_quotas(ours.cpu_quota, theirs.cpu_quota), True),
        ("usable physical cores", *_texts(ours.n_cores_effective, theirs.n_cores_effective), True),
        ("hardware threads", _hardware_threads(ours), _hardware_threads(theirs), True),
        ("caches", _caches(ours), _caches(theirs), True),
        ("caches of the last level", *_texts(ours.n_last_caches, theirs.n_last_caches), True),
        ("memory", *_sizes(ours.memory_bytes, theirs.memory_bytes), True),
        ("virtualisation", ours.virtualisation, theirs.virtualisation, True),
        ("frequency governor", ours.governor, theirs.governor, True),
        ("read bandwidth", *_bandwidths(ours.read_bytes_per_s, theirs.read_bytes_per_s), True),
        ("kernel", ours.kernel, theirs.kernel, False),
        ("container", ours.container, theirs.container, False),
        ("CPUs of the machine", *_texts(ours.n_cpus, theirs.n_cpus), False),
        ("host", ours.host, theirs.host, False),
    ]
    software = [
        *((name, ours.libraries[name], theirs.libraries[name], name not in _PAINTS) for name in _shared(ours, theirs)),
        ("Python", ours.python, theirs.python, _minor(ours.python) != _minor(theirs.python)),
    ]
    found = [Difference(what, a, b, matters) for what, a, b, matters in pairs if a and b and a != b]
    found += [Difference(what, a, b, matters, software=True) for what, a, b, matters in software if a and b and a != b]
    return tuple(sorted(found, key=lambda difference: not difference.matters))


def _instruction_sets(ours: MachineHeader, theirs: MachineHeader) -> tuple[str | None, str | None]:
    """Return the flags; None where one side lists all of the other's, which is how older versions listed fewer."""
    if ours.cpu == theirs.cpu and (set(ours.isa) <= set(theirs.isa) or set(theirs.isa) <= set(ours.isa)):
        return None, None
    return " ".join(ours.isa), " ".join(theirs.isa)


def _shared(ours: MachineHeader, theirs: MachineHeader) -> list[str]:
    return sorted(ours.libraries.keys() & theirs.libraries.keys())


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _hardware_threads(machine: MachineHeader) -> str | None:
    return None if machine.smt is None else "several per core" if machine.smt else "one per core"


def _texts(ours: int | None, theirs: int | None) -> tuple[str | None, str | None]:
    return str(ours) if ours else None, str(theirs) if theirs else None


def _quotas(ours: float | None, theirs: float | None) -> tuple[str | None, str | None]:
    return fmt.counted(f"{ours:.3g}", "CPU") if ours else None, fmt.counted(f"{theirs:.3g}", "CPU") if theirs else None


def _sizes(ours: int, theirs: int) -> tuple[str | None, str | None]:
    return (fmt.size(ours), fmt.size(theirs)) if _apart(ours, theirs, _SAME_SIZE) else (None, None)


def _bandwidths(ours: int | None, theirs: int | None) -> tuple[str | None, str | None]:
    if not ours or not theirs or not _apart(ours, theirs, _SAME_BANDWIDTH):
        return None, None
    return f"{ours / 1e9:.1f} GB/s", f"{theirs / 1e9:.1f} GB/s"


def _apart(ours: int, theirs: int, factor: float) -> bool:
    return max(ours, theirs) > factor * min(ours, theirs)


def _caches(machine: MachineHeader) -> str:
    return ", ".join(f"{level} {fmt.size(n_bytes)}" for level, n_bytes in sorted(machine.caches.items()))
