"""What a run tells: each event is folded once, and records are made from the same state that watchers see."""

from __future__ import annotations

import asyncio

from tuibench.core.run.run_events import RunEvent
from tuibench.core.run.state import Folded, RunState, fold
from tuibench.core.run.trial_state import TrialState


class Telling:
    """The state of one run, and the queue to who watches it."""

    def __init__(self, *, keeps_records: bool) -> None:
        """Begin with a run of which nothing is known.

        Args:
            keeps_records: As in `RunState`.
        """
        self.state = RunState(keeps_records=keeps_records)
        self._queue: asyncio.Queue[Folded | None] = asyncio.Queue()

    def tell(self, event: RunEvent) -> None:
        """Fold an event, and hand it on."""
        self.state = fold(self.state, event)
        self._queue.put_nowait(Folded(event, self.state))

    def end(self) -> None:
        """Say that nothing more comes."""
        self._queue.put_nowait(None)

    def trial(self, method: str) -> TrialState:
        """Return the method's trial under way, or its latest one.

        Raises:
            KeyError: No trial of it has begun.
        """
        trial = self.state.methods[method].trial
        if trial is None:
            raise KeyError(method)
        return trial

    async def next(self) -> Folded | None:
        """Wait for what is told next; None at the end."""
        return await self._queue.get()
