"""Time in which this process stood still: stopped, frozen, or held up by a disk, though nobody else took its processor.

A gap between two tokens does not say what it comes from. On a busy machine threads wait for a processor, which the
kernel counts; a process that is stopped neither computes nor waits for a processor, and its heartbeat is late.
"""

from __future__ import annotations

import threading
from pathlib import Path
from time import perf_counter_ns

_TASKS = Path("/proc/self/task")
_SHORTEST_NS = 100_000_000
"""What a timer, a collection or the interpreter's lock may hold up a look by."""


class StallDetector:
    """Adds up what each look finds. One thread looks every `interval_s`, any other when it likes."""

    def __init__(self, interval_s: float, tasks: Path = _TASKS) -> None:
        """Begin.

        Args:
            interval_s: Between two looks at most, as long as the process goes on. Shorter stops may stay unseen.
            tasks: Where the kernel tells of this process's threads.
        """
        self._interval_ns = round(interval_s * 1e9)
        self._tasks = tasks
        self._lock = threading.Lock()
        self._total_ns = 0
        self._looked_ns = perf_counter_ns()
        self._active_ns = self._read()

    def look(self, *, woken: bool = False) -> int | None:
        """Return how long this process has stood still so far, in nanoseconds; None where the kernel does not tell.

        Args:
            woken: The calling thread is the one that looks every `interval_s`, and does nothing else.
        """
        with self._lock:
            before_ns, before = self._looked_ns, self._active_ns
            self._looked_ns, self._active_ns = perf_counter_ns(), self._read()
            if not self._active_ns:
                return None
            if before.keys() <= self._active_ns.keys():  # a thread that ended took its account along
                rises_ns = {thread: ns - before.get(thread, 0) for thread, ns in self._active_ns.items()}
                elapsed_ns = self._looked_ns - before_ns
                own_ns = rises_ns.get(str(threading.get_native_id()), 0) if woken else 0
                # Two bounds: how late this look is, and how long not even the busiest thread was active. An engine
                # that only sleeps is idle and never late; one that holds the interpreter is late and never idle.
                found_ns = min(elapsed_ns - self._interval_ns - own_ns, elapsed_ns - max(rises_ns.values()))
                self._total_ns += found_ns if found_ns >= _SHORTEST_NS else 0
            return self._total_ns

    def _read(self) -> dict[str, int]:
        """Return the time that each thread computed or waited for a processor; empty where that is not known."""
        try:
            texts = {task.name: (task / "schedstat").read_text() for task in self._tasks.iterdir()}
            return {thread: sum(map(int, text.split()[:2])) for thread, text in texts.items()}
        except OSError:  # another system, or a thread that ended just now
            return {}
