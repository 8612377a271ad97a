"""From the states of a run to snapshots of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from tuibench.core.run.state import Folded, RunState


class Feed:
    """Publishes the newest state, never more often than once an interval.

    Tokens may come a thousand a second; a repaint costs time on the very cores that are measured.
    """

    def __init__(
        self,
        events: AsyncGenerator[Folded, None],
        publish: Callable[[RunState], object],
        *,
        interval_s: float,
    ) -> None:
        self.state = RunState()
        self._events = events
        self._publish = publish
        self._interval_s = interval_s
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
        if self._published_s is None or loop.time() - self._published_s >= self._interval_s:
            self._flush()
        else:
            self._scheduled = loop.call_at(self._published_s + self._interval_s, self._flush)

    def _flush(self) -> None:
        self._scheduled = None
        self._published_s = asyncio.get_running_loop().time()
        self._publish(self.state)
