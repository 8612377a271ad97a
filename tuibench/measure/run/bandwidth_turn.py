"""The read bandwidth as a part of a run: told while it takes time, called off with the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tuibench.core.run.run_events import Noticed
from tuibench.machine.bandwidth import BandwidthError
from tuibench.measure.hosts.host import MeasuringHost

_KNOWN_WITHIN_S = 0.5
"""What is remembered comes sooner."""


class BandwidthTurn:
    """Has the bandwidth measured, once or again."""

    def __init__(self, host: MeasuringHost | None, n_threads: int, tell: Callable[[Noticed], None]) -> None:
        """Say how.

        Args:
            host: Whose bandwidth; None leaves it out.
            n_threads: Those of the run.
            tell: Given what the user should know.
        """
        self._host = host
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
        if self._host is None or self._called_off:
            return None
        whose = f"{self._host.name}'s" if self._host.name else "this machine's"
        text = f"measuring {whose} read bandwidth, once a day"
        if again:
            text = f"a method read faster than {whose} read bandwidth: measuring that once more"
        notice = asyncio.get_running_loop().call_later(_KNOWN_WITHIN_S, self._tell, Noticed(text))
        self._probe = asyncio.ensure_future(self._host.read_bandwidth(self._n_threads, again=again))
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
