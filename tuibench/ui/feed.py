"""From the states of a run to snapshots of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from tuibench.core.run.state import Folded, RunState

_MOST_SHARE = 0.017
"""Of the CPUs that this process aims to use: watching is to cost less than 2 %, what samples the machine included."""
_LONGEST_INTERVAL_S = 2.0


class Pace:
    """How long to wait from one snapshot to the next: longer where showing them would cost too much of this machine."""

    def __init__(self, interval_s: float, n_cpus: float, cpu_s: Callable[[], float]) -> None:
        """Begin with the shortest wait.

        Args:
            interval_s: The shortest.
            n_cpus: CPUs' worth of time that the program may use.
            cpu_s: Tells how much this process has used so far.
        """
        self.interval_s = self._shortest_s = interval_s
        self._n_cpus = n_cpus
        self._cpu_s = cpu_s
        self._latest: tuple[float, float] | None = None

    def published(self, at_s: float) -> None:
        """Take note of a snapshot, which has not been painted yet: its cost shows with the next one."""
        used_s = self._cpu_s()
        if self._latest is not None and at_s > self._latest[0]:
            share = (used_s - self._latest[1]) / ((at_s - self._latest[0]) * self._n_cpus)
            wanted_s = self.interval_s * share / _MOST_SHARE
            self.interval_s = max(self._shortest_s, min(wanted_s, _LONGEST_INTERVAL_S))
        self._latest = at_s, used_s


class Feed:
    """Publishes the newest state, never more often than once an interval.

    Tokens may come a thousand a second; a repaint costs time on the very cores that are measured.
    """

    def __init__(
        self,
        events: AsyncGenerator[Folded, None],
        publish: Callable[[RunState], object],
        pace: Pace,
    ) -> None:
        self.state = RunState()
        self._events = events
        self._publish = publish
        self._pace = pace
        self._published_s: float | None = None
        self._scheduled: asyncio.TimerHandle | None = None

    async def run(self) -> RunState:
        """Consume all events and return the last state, which is always published."""
        try:
            # Closed at once when this task is cancelled: that is what ends a worker process.
            async with aclosing(self._events) as events:
                async for _, self.state in events:
                    self._schedule()
        finally:
            if self._scheduled is not None:
                self._scheduled.cancel()
            self._flush()
        return self.state

    def _schedule(self) -> None:
        if self._scheduled is not None:
            return
        loop = asyncio.get_running_loop()
        if self._published_s is None or loop.time() - self._published_s >= self._pace.interval_s:
            self._flush()
        else:
            self._scheduled = loop.call_at(self._published_s + self._pace.interval_s, self._flush)

    def _flush(self) -> None:
        self._scheduled = None
        self._published_s = asyncio.get_running_loop().time()
        self._pace.published(self._published_s)
        self._publish(self.state)
