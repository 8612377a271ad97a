"""A run on several machines as one run of each, and of each shape: methods are compared within, machines by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tuibench.core.results.measured_run import LABEL_PARTS, MeasuredRun, by_shape, run_of_state, whole_run
from tuibench.core.run.host import THIS_MACHINE, host_of, hosts_of, without_host
from tuibench.core.run.record import QualityRecord, TrialRecord
from tuibench.core.run.shape import Shape

if TYPE_CHECKING:
    from tuibench.core.run.state import HostState, RunState

Record = TypeVar("Record", TrialRecord, QualityRecord)


def runs_of_machines(state: RunState) -> list[MeasuredRun]:
    """Return a run as far as its state knows it, machine by machine; of a sweep, the shape that has its turn."""
    return split_by_host(run_of_state(state), state.hosts)


def all_runs(state: RunState) -> list[MeasuredRun]:
    """Return a run as far as its state knows it, in its parts; see `parts_of`."""
    return parts_of(whole_run(state), state.hosts, state.shapes)


def parts_of(run: MeasuredRun, hosts: Mapping[str, HostState], shapes: Sequence[Shape]) -> list[MeasuredRun]:
    """Return what was measured on each machine under each shape; the run itself where it is of one and of one.

    Args:
        run: With rows of all machines and shapes.
        hosts: As in `split_by_host`.
        shapes: Of the sweep; empty without one.
    """
    return [part for of_machine in split_by_host(run, hosts) for part in by_shape(of_machine, shapes)]


def split_by_host(run: MeasuredRun, hosts: Mapping[str, HostState]) -> list[MeasuredRun]:
    """Return what was measured on each machine, with methods under their own names; a run on this one as it is.

    Args:
        run: With rows of all machines.
        hosts: The other machines, as far as they are known.
    """
    names = hosts_of((*run.methods, *(record.method for record in run.trials))) or (None,)
    return [run] if names == (None,) else [_on(run, name, hosts.get(name or "")) for name in names]


def _on(run: MeasuredRun, name: str | None, host: HostState | None) -> MeasuredRun:
    shown = name or THIS_MACHINE
    found = replace(
        run,
        label=f"{run.label}{LABEL_PARTS}{shown}" if run.label else shown,
        methods=tuple(without_host(method) for method in run.methods if host_of(method) == name),
        trials=tuple(_plain(record) for record in run.trials if host_of(record.method) == name),
        quality=tuple(_plain(record) for record in run.quality if host_of(record.method) == name),
        host=shown,
        part_of=run.session,
    )
    if name is None:
        return found
    if host is None:  # never reached
        return replace(found, machine=None)
    facts = {"cpu": host.machine.cpu, "cpus": str(host.machine.n_cpus_effective), "threads": str(host.n_threads)}
    return replace(
        found,
        facts={**run.facts, **facts} if run.facts else run.facts,
        machine=host.machine,
        n_threads=host.n_threads,
        price_per_hour=host.price_per_hour,
    )


def _plain(record: Record) -> Record:
    return msgspec.structs.replace(record, method=without_host(record.method))
