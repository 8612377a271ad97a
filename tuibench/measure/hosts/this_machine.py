"""The machine that tuibench runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tuibench import paths
from tuibench.core.run.control import method_of
from tuibench.core.run.spec import Calibration, LoadRequest
from tuibench.machine.bandwidth import read_bandwidth
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.machine.fingerprint import machine_header
from tuibench.machine.lock import measuring, unseen_measurements
from tuibench.machine.memory_room import free_memory_bytes, too_little_memory
from tuibench.measure.hosts.host import HostFacts
from tuibench.measure.process.interpreter import in_runtime
from tuibench.measure.process.supervisor import WORKER_COMMAND, WorkerProcess
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.models.local import LocalModel
from tuibench.models.references import has_reference


class ThisMachine:
    """Read and used directly: what watches is here anyway."""

    name = None
    private_words: Mapping[str, str] = {}

    def __init__(
        self,
        worker_command: Sequence[str] = WORKER_COMMAND,
        bandwidth: Callable[..., Awaitable[int]] = read_bandwidth,
    ) -> None:
        """Choose how workers start and the bandwidth is read; by default as always."""
        self._worker_command = worker_command
        self._bandwidth = bandwidth
        self._tell: Callable[[str], None] = lambda _: None

    async def connect(self, tell: Callable[[str], None]) -> HostFacts:
        """Describe it."""
        self._tell = tell
        if (unseen := unseen_measurements()) is not None:
            tell(unseen)
        return HostFacts(machine_header(), effective_cpus())

    @asynccontextmanager
    async def measuring(self, given_up: Callable[[], bool]) -> AsyncIterator[None]:
        """Hold its measurement lock, once nobody else does."""

        def waiting() -> None:
            self._tell("another tuibench measures on this machine: waiting until it has finished")

        async with measuring(paths.measurement_lock(), waiting, given_up, self._tell):
            yield

    async def model_directory(self, model: LocalModel) -> Path:
        """Return the folder of the model."""
        return model.directory

    async def read_bandwidth(self, n_threads: int, *, again: bool = False) -> int:
        """Return its read bandwidth."""
        return await (self._bandwidth(n_threads, again=True) if again else self._bandwidth(n_threads))

    async def too_little_memory(self, peaks_bytes: Sequence[int | None], parameters: int) -> str | None:
        """Return why workers are not to be at hand together."""
        return too_little_memory(peaks_bytes, parameters)

    async def free_memory_bytes(self) -> int:
        """Return what a worker could still have."""
        return free_memory_bytes()

    async def has_reference(self, directory: Path, text: str, window_tokens: int | None = None) -> bool:
        """Return whether the predictions are kept."""
        return await asyncio.to_thread(has_reference, directory, text, window_tokens)

    async def calibration(self, wanted: Calibration) -> Calibration:
        """Return it as it is."""
        return wanted

    async def start(self, load: LoadRequest, log_name: str, limits: TimeLimits) -> WorkerProcess:
        """Start a worker as a child of this process."""
        command, variables = in_runtime(method_of(load.method), self._worker_command)
        return await WorkerProcess.start(load, paths.logs_dir() / log_name, limits, command, variables)

    async def close(self) -> None:
        """Nothing is held."""
