"""What watching cost: the share of the machine that this program used while a method was being timed."""

from __future__ import annotations

from collections.abc import Iterable

from tuibench.core.run.record import TrialRecord


def observer_share(records: Iterable[TrialRecord], capacity_cpus: float) -> float | None:
    """Return the CPU time of the dashboard and its samplers ÷ that of the CPUs, over the timed windows of some trials.

    Args:
        records: Trials; those that did not come to an end are left out.
        capacity_cpus: CPUs' worth of time that the program may use.
    """
    spent_ns = timed_ns = 0
    for record in records:
        if record.observer_cpu_ns is not None and record.ttft_ns is not None:
            spent_ns += record.observer_cpu_ns
            timed_ns += record.ttft_ns + sum(record.step_ns)
    return spent_ns / (timed_ns * capacity_cpus) if timed_ns else None
