"""The read bandwidth as a part of a run: told while it takes time, called off with the run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tuibench.core.run.run_events import Noticed
from tuibench.machine.bandwidth import BandwidthError

_KNOWN_WITHIN_S = 0.5
"""What is remembered comes sooner."""


class BandwidthTurn:
    """Has the bandwidth measured, once or again."""

    def __init__(
        self, measure: Callable[..., Awaitable[int]] | None, n_threads: int, tell: Callable[[Noticed], None]
    ) -> None:
        """Say how.

        Args:
            measure: Returns the read bandwidth for so many threads, in bytes a second; measured `again` even
                if it is known. None leaves it out.
            n_threads: Those of the run.
            tell: Given what the user should know.
        """
        self._measure = measure
        self._n_threads = n_threads
        self._tell = tell
        self._probe: asyncio.Future[int] | None = None
        self._called_off = False

    def call_off(self) -> None:
        """End a measurement that is under way, and let none begin."""
        self._called_off = True
        if self._probe is not None:
            self._probe.cancel()

    async def take(self, *, again: bool = False) -> int | None:
        """Return bytes a second; None where it is left out, called off or cannot be measured, which is told."""
        if self._measure is None or self._called_off:
            return None
        text = "measuring this machine's read bandwidth, once a day"
        if again:
            text = "a method read faster than this machine's read bandwidth: measuring that once more"
        notice = asyncio.get_running_loop().call_later(_KNOWN_WITHIN_S, self._tell, Noticed(text))
        options = {"again": True} if again else {}
        self._probe = asyncio.ensure_future(self._measure(self._n_threads, **options))
        try:
            await asyncio.wait({self._probe})
            return self._probe.result()
        except BandwidthError as error:
            self._tell(Noticed(str(error)))
            return None
        except asyncio.CancelledError:
            if not self._probe.cancelled():  # the run is, not the probe alone
                raise
            return None
        finally:
            self._probe.cancel()
            notice.cancel()
