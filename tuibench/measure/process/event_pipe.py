"""The parent's end of the pipe that a worker writes its events into."""

from __future__ import annotations

import asyncio
import os

_CHUNK_BYTES = 1 << 16


class EventPipe:
    """A pipe that is only looked at when asked: asyncio's own streams wake the event loop up for every line."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        """The writing end goes to the child, after which `handed_over` must be called."""
        os.set_blocking(self._reading, False)

    def handed_over(self) -> None:
        """Close the writing end here, so that the child's end is the pipe's end."""
        os.close(self.writing)

    async def read(self) -> bytes:
        """Wait until something has come and return it, a chunk at most; empty at the end of the pipe."""
        while (chunk := self.read_waiting()) is None:
            await self._readable()
        return chunk

    def read_waiting(self) -> bytes | None:
        """Return what has come already, as `read` does; None if nothing has."""
        try:
            return os.read(self._reading, _CHUNK_BYTES)
        except BlockingIOError:
            return None

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        loop.add_reader(self._reading, came.set)
        try:
            await came.wait()
        finally:
            loop.remove_reader(self._reading)

    def close(self) -> None:
        """Close the reading end; more than once does no harm."""
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1
