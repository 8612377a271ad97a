"""The far end: `python -m tuibench.measure.hosts.relay`, started through a launcher, never by hand.

One such process holds a run's place on a machine: the launcher's job, the measurement lock, and the workers, which are
its children. It ends, and they with it, when its standard input ends, or when nothing was heard for `PATIENCE_S`: it
computes nothing itself, so it notices both whatever the workers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

import tuibench
from tuibench import paths
from tuibench.core.run.events import PROTOCOL_VERSION
from tuibench.machine.bandwidth import BandwidthError, read_bandwidth
from tuibench.machine.effective_cpus import effective_cpus
from tuibench.machine.fingerprint import machine_header
from tuibench.machine.lock import measuring
from tuibench.machine.memory_room import free_memory_bytes, too_little_memory
from tuibench.measure.hosts.find import RefusedError, model_with
from tuibench.measure.hosts.frames import (
    BEGIN,
    HOST_PROTOCOL,
    MESSAGES,
    PATIENCE_S,
    Alive,
    Answer,
    CloseInput,
    EndWorker,
    FindModel,
    FrameError,
    Frames,
    FreeMemory,
    FromHost,
    HasReference,
    HostTold,
    KeepText,
    MemoryRoom,
    Noted,
    Question,
    ReadBandwidth,
    StartWorker,
    TakeLock,
    ToHost,
    WorkerOver,
    frame,
    message_frame,
)
from tuibench.measure.process.child import LocalChild
from tuibench.measure.process.failure import WorkerFailureError
from tuibench.measure.process.interpreter import in_runtime
from tuibench.measure.process.supervisor import MAX_LOG_BYTES, WORKER_COMMAND
from tuibench.models.artifacts import discard_abandoned
from tuibench.models.local import ModelError
from tuibench.models.references import has_reference
from tuibench.store.redact import private_words

_TERMINATE_S = 2.0
_STDIN, _STDOUT = 0, 1
_CHUNK_BYTES = 1 << 16
_decoder: msgspec.json.Decoder[ToHost] = msgspec.json.Decoder(ToHost)


class Relay:
    """Serves one run."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """Say where frames go."""
        self._write = write
        self._workers: dict[int, LocalChild] = {}
        self._early: dict[int, list[tuple[int, bytes]]] = {}
        """What came for workers that are being started."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = contextlib.AsyncExitStack()

    def tell(self, message: FromHost) -> None:
        """Send a message."""
        self._write(message_frame(message))

    def take(self, channel: int, content: bytes) -> None:
        """Take a frame: a message, or what a worker is told."""
        if channel != MESSAGES:
            if channel in self._early:
                self._early[channel].append((channel, content))
            elif (worker := self._workers.get(channel)) is not None:
                worker.send(content)
            return
        match _decoder.decode(content):
            case StartWorker() as start:
                self._early[start.channel] = []
                self._in_background(self._serve(start))
            case CloseInput(channel=number) | EndWorker(channel=number) if number in self._early:
                self._early[number].append((channel, content))
            case CloseInput(channel=number) if number in self._workers:
                self._workers[number].close_input()
            case EndWorker(channel=number, within_s=within_s) if number in self._workers:
                self._in_background(_end(self._workers[number], within_s))
            case CloseInput() | EndWorker() | Alive():
                pass  # it has ended by itself meanwhile
            case question:
                self._in_background(self._answer(question))

    def _in_background(self, work: Any) -> None:  # noqa: ANN401 - a coroutine of any kind
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, start: StartWorker) -> None:
        log = paths.logs_dir() / start.log_name
        try:
            command, variables = in_runtime(start.method, WORKER_COMMAND)
            worker = await LocalChild.start(command, log, variables)
        except (WorkerFailureError, OSError) as error:
            del self._early[start.channel]
            self.tell(WorkerOver(channel=start.channel, refused=str(error)))
            return
        self._workers[start.channel] = worker
        for channel, content in self._early.pop(start.channel):
            self.take(channel, content)
        refused = None
        while refused is None and (chunk := await worker.read()):
            self._write(frame(start.channel, chunk))
            if worker.log_bytes > MAX_LOG_BYTES:
                refused = f"the worker wrote more than {MAX_LOG_BYTES >> 20} MiB to its log"
        returncode, oom_kills = (None, 0) if refused else await worker.exit(_TERMINATE_S)
        await worker.terminate(_TERMINATE_S)
        await worker.end()
        del self._workers[start.channel]
        self.tell(
            WorkerOver(
                channel=start.channel,
                returncode=returncode,
                oom_kills=oom_kills,
                refused=refused,
                log_tail=worker.log_tail(),
            )
        )

    async def _answer(self, question: Question) -> None:
        try:
            value = await self._asked(question)
        except (RefusedError, BandwidthError, ModelError, OSError) as error:
            self.tell(Answer(question=question.question, refused=str(error)))
        else:
            self.tell(Answer(question=question.question, value=msgspec.Raw(msgspec.json.encode(value))))

    async def _asked(self, question: Question) -> object:
        match question:
            case TakeLock():
                await self._lock.enter_async_context(measuring(paths.measurement_lock(), self._tell_waiting))
                return True
            case ReadBandwidth(n_threads=n_threads, again=again):
                return await read_bandwidth(n_threads, again=again)
            case MemoryRoom(peaks_bytes=peaks_bytes, parameters=parameters):
                return too_little_memory(peaks_bytes, parameters)
            case FreeMemory():
                return free_memory_bytes()
            case FindModel(name=name, digest=digest):
                found = await asyncio.to_thread(model_with, name, digest)
                return str(found.directory.absolute())
            case HasReference(model_dir=model_dir, text=text, window_tokens=window_tokens):
                return await asyncio.to_thread(has_reference, Path(model_dir), text, window_tokens)
            case KeepText(text=text):
                return str(_kept(text))

    def _tell_waiting(self) -> None:
        self.tell(Noted(text="another tuibench measures there: waiting until it has finished"))

    async def close(self) -> None:
        """End all workers, and free the machine."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.close_input()
        await asyncio.gather(*(worker.terminate(_TERMINATE_S) for worker in workers))
        for task in tuple(self._tasks):
            task.cancel()
        await self._lock.aclose()
        await asyncio.to_thread(discard_abandoned)


async def _end(worker: LocalChild, within_s: float) -> None:
    worker.close_input()
    await worker.terminate(within_s)


def _kept(text: str) -> Path:
    content = text.encode()
    path = paths.cache_dir() / "texts" / f"{hashlib.sha256(content).hexdigest()[:32]}.txt"
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
    return path


def host_told() -> HostTold:
    """Return what this end is."""
    folder = paths.cache_dir()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return HostTold(
        protocol=HOST_PROTOCOL,
        worker_protocol=PROTOCOL_VERSION,
        tuibench_version=tuibench.__version__,
        machine=machine_header(),
        cpus=effective_cpus(),
        cache_free_bytes=shutil.disk_usage(existing).free,
        private_words=private_words(),
    )


async def serve(events: int) -> None:
    """Serve the other end until it is gone.

    Args:
        events: The descriptor that frames go to.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(_STDIN, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop=loop), os.fdopen(events, "wb", 0)
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    relay, frames = Relay(writer.write), Frames()
    writer.write(BEGIN)
    relay.tell(host_told())
    try:
        while chunk := await asyncio.wait_for(reader.read(_CHUNK_BYTES), PATIENCE_S):
            for channel, content in frames.push(chunk):
                relay.take(channel, content)
    except (TimeoutError, OSError, FrameError, msgspec.DecodeError) as error:
        print(f"the connection is lost: {type(error).__name__} {error}", file=sys.stderr)  # noqa: T201 - the log
    finally:
        await relay.close()


def main() -> None:
    """Serve; whatever else is written to standard output goes to standard error."""
    events = os.dup(_STDOUT)
    os.dup2(sys.stderr.fileno(), _STDOUT)
    asyncio.run(_main(events))


async def _main(events: int) -> None:
    serving: Awaitable[None] = serve(events)
    await serving
    os._exit(0)  # threads that hash a large file need not be waited for


if __name__ == "__main__":
    main()
