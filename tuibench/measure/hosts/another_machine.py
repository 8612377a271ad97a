"""A machine that a launcher gets to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from tuibench.core.run.control import method_of
from tuibench.core.run.events import FailureKind, Phase
from tuibench.core.run.host import Host
from tuibench.core.run.spec import Calibration, LoadRequest
from tuibench.machine.bandwidth import BandwidthError
from tuibench.measure.hosts.connection import Connection, DisconnectedError
from tuibench.measure.hosts.frames import (
    FindModel,
    FreeMemory,
    HasReference,
    KeepText,
    MemoryRoom,
    ReadBandwidth,
    TakeLock,
)
from tuibench.measure.hosts.host import HostFacts, HostUnusableError
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.supervisor import WorkerProcess
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.models.local import LocalModel

_GATHER_NS = 80_000_000
"""As long as this end waits anyway; there, each line would wake up two processes on the machine that is measured."""
_POLL_S = 0.5


class AnotherMachine:
    """Everything about it is asked of the process that the launcher started there."""

    def __init__(self, host: Host) -> None:
        """Choose it; nothing starts yet."""
        self._host = host
        self._connection: Connection | None = None
        self.private_words: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """What it is called in the settings."""
        return self._host.name

    async def connect(self, tell: Callable[[str], None]) -> HostFacts:
        """Get there, however long that takes."""
        self._connection = Connection(self._host, tell)
        told = await self._connection.open()
        self.private_words = told.private_words
        return HostFacts(told.machine, told.cpus)

    @property
    def _there(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("a host is connected to before it is used")
        return self._connection

    @asynccontextmanager
    async def measuring(self, given_up: Callable[[], bool]) -> AsyncIterator[None]:
        """Hold its measurement lock: the connection does."""
        asked = asyncio.create_task(self._there.ask(lambda number: TakeLock(question=number), bool))
        try:
            while not asked.done() and not given_up():
                await asyncio.wait({asked}, timeout=_POLL_S)
            if asked.done():
                await asked
        except DisconnectedError as error:
            raise HostUnusableError(str(error)) from error
        finally:
            asked.cancel()
        yield

    async def model_directory(self, model: LocalModel) -> Path:
        """Return the folder that the model's weights are in there."""
        try:
            found: str = await self._there.ask(
                lambda number: FindModel(question=number, name=model.name, digest=model.digest), str
            )
        except HostUnusableError as error:
            remedy = f"`tuibench hosts prepare {self.name}` brings it there"
            raise HostUnusableError(f"{self.name}: {error}; {remedy}") from error
        except DisconnectedError as error:
            raise HostUnusableError(str(error)) from error
        return Path(found)

    async def read_bandwidth(self, n_threads: int, *, again: bool = False) -> int:
        """Return its read bandwidth."""
        try:
            found: int = await self._there.ask(
                lambda number: ReadBandwidth(question=number, n_threads=n_threads, again=again), int
            )
        except (HostUnusableError, DisconnectedError) as error:
            raise BandwidthError(f"{self.name}: {error}") from error
        return found

    async def too_little_memory(self, peaks_bytes: Sequence[int | None], parameters: int) -> str | None:
        """Return why workers are not to be at hand together; a lost connection shows soon enough."""
        with suppress(HostUnusableError, DisconnectedError):
            found: str | None = await self._there.ask(
                lambda number: MemoryRoom(question=number, peaks_bytes=tuple(peaks_bytes), parameters=parameters),
                str | None,
            )
            return found and f"{self.name}: {found}"
        return None

    async def free_memory_bytes(self) -> int | None:
        """Return what a worker there could still have; a lost connection shows soon enough."""
        with suppress(HostUnusableError, DisconnectedError):
            return int(await self._there.ask(lambda number: FreeMemory(question=number), int))
        return None

    async def has_reference(self, directory: Path, text: str, window_tokens: int | None = None) -> bool:
        """Return whether the predictions are kept there."""
        with suppress(HostUnusableError, DisconnectedError):
            return bool(
                await self._there.ask(
                    lambda number: HasReference(
                        question=number, model_dir=str(directory), text=text, window_tokens=window_tokens
                    ),
                    bool,
                )
            )
        return False

    async def calibration(self, wanted: Calibration) -> Calibration:
        """Return a calibration whose text was brought there."""
        if wanted.file is None:
            return wanted
        try:
            text = await asyncio.to_thread(Path(wanted.file).read_text, encoding="utf-8")
            path: str = await self._there.ask(lambda number: KeepText(question=number, text=text), str)
        except DisconnectedError as error:
            raise WorkerFailureError(FailureKind.DISCONNECTED, str(error), Phase.QUEUED) from error
        except (HostUnusableError, OSError, UnicodeDecodeError) as error:
            raise WorkerFailureError(FailureKind.BAD_INPUT, f"the calibration text: {error}", Phase.QUEUED) from error
        return msgspec.structs.replace(wanted, file=path)

    async def start(self, load: LoadRequest, log_name: str, limits: TimeLimits) -> WorkerProcess:
        """Start a worker there."""
        try:
            child = self._there.start_worker(method_of(load.method), log_name)
        except DisconnectedError as error:
            raise WorkerFailureError(FailureKind.DISCONNECTED, str(error), Phase.START) from error
        return WorkerProcess(child, msgspec.structs.replace(load, gather_ns=_GATHER_NS), limits)

    async def close(self) -> None:
        """End the connection, and with it everything there."""
        if self._connection is not None:
            await self._connection.close()
