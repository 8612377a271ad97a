"""What a run needs of a machine, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.run.spec import Calibration, LoadRequest
from tuibench.measure.process.supervisor import WorkerProcess
from tuibench.measure.process.time_limits import TimeLimits
from tuibench.models.local import LocalModel


class HostUnusableError(Exception):
    """Nothing can be measured on a machine; the message names it, the reason and the remedy."""

    def __init__(self, message: str, shareable: str | None = None) -> None:
        """Say why.

        Args:
            message: For the user, who may want to know what a launcher wrote of addresses and names.
            shareable: For a session; by default the same.
        """
        super().__init__(message)
        self.shareable = shareable or message


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a machine tells of itself."""

    machine: MachineHeader
    """Without its read bandwidth."""
    cpus: EffectiveCpus


class MeasuringHost(Protocol):
    """A machine from `connect` to `close`."""

    @property
    def name(self) -> str | None:
        """What it is called in the settings; None for this machine."""
        ...

    @property
    def private_words(self) -> Mapping[str, str]:
        """What no session says of it, beside what none says of this machine, and what stands for it there."""
        ...

    async def connect(self, tell: Callable[[str], None]) -> HostFacts:
        """Get there, however long that takes.

        Args:
            tell: Given what the user should know from here on.

        Raises:
            HostUnusableError: It cannot be reached, or used.
        """
        ...

    def measuring(self, given_up: Callable[[], bool]) -> AbstractAsyncContextManager[None]:
        """Hold its measurement lock, once nobody else does; `given_up` is asked while waiting."""
        ...

    async def model_directory(self, model: LocalModel) -> Path:
        """Return the folder that the model's weights are in there.

        Raises:
            HostUnusableError: They are not there.
        """
        ...

    async def read_bandwidth(self, n_threads: int, *, again: bool = False) -> int:
        """Return its read bandwidth in bytes a second, today's or measured `again`.

        Raises:
            BandwidthError: It cannot be measured.
        """
        ...

    async def too_little_memory(self, peaks_bytes: Sequence[int | None], parameters: int) -> str | None:
        """Return why workers are not to be at hand together; None where they fit."""
        ...

    async def free_memory_bytes(self) -> int | None:
        """Return what a worker could still have; None where that is not known."""
        ...

    async def has_reference(self, directory: Path, text: str, window_tokens: int | None = None) -> bool:
        """Return whether the FP32 predictions of a text by the model in a folder are kept there."""
        ...

    async def calibration(self, wanted: Calibration) -> Calibration:
        """Return a calibration whose file is there.

        Raises:
            WorkerFailureError: It cannot be brought there.
        """
        ...

    async def start(self, load: LoadRequest, log_name: str, limits: TimeLimits) -> WorkerProcess:
        """Start a worker; its `end` must follow, whatever happens.

        Raises:
            WorkerFailureError: It could not be started.
        """
        ...

    async def close(self) -> None:
        """Let go of it; all workers must have ended."""
        ...
