"""What the worker tells of its machine: nobody else can read it where the worker runs elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter_ns

from tuibench.core.run.events import ConditionsRead, Event, MachineTold
from tuibench.machine.conditions import read_conditions
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.machine.fingerprint import machine_header


def tell_machine(emit: Callable[[Event], None]) -> None:
    """Tell what it is, and what of it this process may use."""
    emit(MachineTold(at_ns=perf_counter_ns(), machine=machine_header(), cpus=effective_cpus()))


def tell_conditions(emit: Callable[[Event], None], at_ns: int | None = None) -> None:
    """Tell how it is right now; takes well under a millisecond, and nothing may be measured meanwhile.

    Args:
        emit: Where the event goes.
        at_ns: The time of what ended just before, which the event carries instead of its own.
    """
    conditions = read_conditions(os.getpid(), observer_pid=os.getppid())
    emit(ConditionsRead(at_ns=perf_counter_ns() if at_ns is None else at_ns, conditions=conditions))
