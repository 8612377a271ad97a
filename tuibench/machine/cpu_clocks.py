"""What processes have used of the processors, to the nanosecond.

Linux counts what a thread uses at ticks, several milliseconds apart, and when it stops running. The clock of a process
is brought up to date for the thread that asks, not for others that run meanwhile: over a millisecond or two, threads
that spin on another CPU often seem to use nothing (kernel/sched/cputime.c, `thread_group_cputime`).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

_OF_PROCESS, _OF_THREAD = 2, 6  # CPUCLOCK_SCHED, all that the scheduler gave, of all threads or of one


def cpu_ns(pid: int) -> int:
    """Return the CPU time that a process has used, all its threads together; 0 for one that is gone.

    By the clock that Linux has for each process (`clock_getcpuclockid`, which Python lacks): the ticks of `/proc`
    would add up over the many turns of a trial.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | _OF_PROCESS)
    except OSError:
        return 0


def own_cpu_ns() -> int:
    """Return the CPU time of this process, what its other threads are using right now included."""
    with suppress(FileNotFoundError):  # not Linux
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - half the time of a Path for each
            with suppress(OSError):  # it has ended
                time.clock_gettime_ns((~int(thread) << 3) | _OF_THREAD)  # asking a thread's clock updates its count
    return time.process_time_ns()
