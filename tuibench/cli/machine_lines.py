"""Under the result of a run: how near each method comes to the machine's limit, and what the measuring itself cost."""

from __future__ import annotations

from tuibench.core import format as fmt
from tuibench.core.fingerprint import MachineHeader
from tuibench.core.observer import observer_share
from tuibench.core.roofline import roofline
from tuibench.core.state import RunState
from tuibench.core.validity import Lamp


def machine_lines(state: RunState) -> list[str]:
    """Return the lines, the first of them empty; none where nothing was measured."""
    measured = [record for method in state.methods.values() for record in method.measured]
    if state.machine is None or not measured:
        return []
    return ["", *_roofs(state, state.machine), *_cost(state, state.machine), *_conditions(state)]


def _roofs(state: RunState, machine: MachineHeader) -> list[str]:
    found = {
        method.method: roof
        for method in state.methods.values()
        if (roof := roofline(method.records, machine, state.n_threads)) is not None
    }
    if not found or machine.read_bytes_per_s is None:
        return []
    width = max(map(len, found))
    return [
        f"read bandwidth with {_count(state.n_threads, 'thread')}: {machine.read_bytes_per_s / 1e9:.1f} GB/s",
        *(f"  {fmt.printable(method).ljust(width)}  {roof.sentence}" for method, roof in found.items()),
    ]


def _cost(state: RunState, machine: MachineHeader) -> list[str]:
    measured = (record for method in state.methods.values() for record in method.measured)
    share = observer_share(measured, machine.n_cpus_effective)
    return [] if share is None else [f"this program used {share:.1%} of the CPU while it measured"]


def _conditions(state: RunState) -> list[str]:
    """Return how many trials were disturbed, and by what."""
    measured = [record for method in state.methods.values() for record in method.measured]
    doubtful = [record for record in measured if record.lamp in {Lamp.YELLOW, Lamp.RED}]
    if not doubtful:
        return []
    reasons = [fmt.printable(reason) for record in doubtful for reason in record.validity]
    red = sum(record.lamp is Lamp.RED for record in doubtful)
    return [
        f"{len(doubtful)} of {_count(len(measured), 'trial')} disturbed, {red} of them badly; for example: {reasons[0]}"
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
