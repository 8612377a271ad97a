"""This end of a connection: a launcher's process, frames to and from the tuibench that it started there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import tuibench
from tuibench import paths
from tuibench.core.format import printable_line
from tuibench.core.run.events import PROTOCOL_VERSION
from tuibench.core.run.host import Host
from tuibench.measure.hosts.explain import no_connection
from tuibench.measure.hosts.far_child import FarChild
from tuibench.measure.hosts.frames import (
    BEGIN,
    HOST_PROTOCOL,
    MESSAGES,
    Alive,
    Answer,
    FrameError,
    Frames,
    FromHost,
    HostTold,
    Noted,
    Question,
    StartWorker,
    ToHost,
    WorkerOver,
    frame,
    message_frame,
)
from tuibench.measure.hosts.host import HostUnusableError

RELAY = "tuibench.measure.hosts.relay"
_ALIVE_S = 10.0
_TOLD_AFTER_S = 2.0
_CLOSE_S, _TERMINATE_S = 8.0, 2.0
"""Between the end of its input and SIGTERM, and from there to SIGKILL."""
_BANNER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_decoder: msgspec.json.Decoder[FromHost] = msgspec.json.Decoder(FromHost)


class DisconnectedError(Exception):
    """The far end is gone; the message says what is known of why."""


class Connection:
    """From `open` to `close`."""

    def __init__(self, host: Host, tell: Callable[[str], None], log: Path | None = None) -> None:
        """Say where to.

        Args:
            host: The machine.
            tell: Given what the user should know: what is waited for, what the other end says.
            log: Where what the launcher writes to standard error goes; by default among the workers' logs.
        """
        self._host = host
        self._tell = tell
        self._log = log or paths.logs_dir() / f"host.{host.name}.{os.getpid()}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._frames = Frames()
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._children: dict[int, FarChild] = {}
        self._reader: asyncio.Task[None] | None = None
        self._told: asyncio.Future[HostTold] | None = None
        self._closing = False
        self.lost: str | None = None
        """Why there is no connection any more."""

    async def open(self) -> HostTold:
        """Start the launcher and wait, as long as it takes, for the first word of the other end.

        Raises:
            HostUnusableError: There is no tuibench that this one can work with.
        """
        environment = {"SSH_ASKPASS_REQUIRE": "never"}  # nobody sits there to be asked for a password
        command = self._host.module(RELAY)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._log.open("wb") as log_file:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log_file,
                    env=os.environ | environment,
                    start_new_session=True,  # no terminal to ask at, and Ctrl+C is ours to handle
                )
        except OSError as error:
            raise HostUnusableError(
                f"{self._host.name}: the launcher {self._host.launcher[0]} cannot be started: {error.strerror}; "
                "install it, or correct `launcher` in the settings"
            ) from error
        telling = asyncio.create_task(self._tell_what_is_waited_for())
        try:
            told = await self._first_word(self._process)
        finally:
            telling.cancel()
        self._check(told)
        self._reader = asyncio.create_task(self._read(self._process))
        return told

    async def _first_word(self, process: asyncio.subprocess.Process) -> HostTold:
        """Read past whatever a login shell writes."""
        banner = b""
        while BEGIN not in banner:
            chunk = await _read(process)
            banner += chunk
            if not chunk or len(banner) > _BANNER_BYTES:
                raise await self._why_not(process, banner)
        frames = self._frames.push(banner.partition(BEGIN)[2])
        while not frames:
            if not (chunk := await _read(process)):
                raise await self._why_not(process, b"")
            frames = self._pushed(chunk)
        (_, first), *others = frames
        try:
            told = _decoder.decode(first)
        except msgspec.DecodeError:
            told = None
        if not isinstance(told, HostTold):
            raise HostUnusableError(f"{self._host.name}: it has another tuibench; {self._prepare}")
        for channel, content in others:
            self._take(channel, content)
        return told

    def _pushed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        try:
            return self._frames.push(chunk)
        except FrameError as error:
            raise HostUnusableError(f"{self._host.name}: broke the protocol: {error}") from error

    @property
    def _prepare(self) -> str:
        return f"`tuibench hosts prepare {self._host.name}` brings this one there"

    def _check(self, told: HostTold) -> None:
        ours = (HOST_PROTOCOL, PROTOCOL_VERSION, tuibench.__version__)
        if (told.protocol, told.worker_protocol, told.tuibench_version) != ours:
            raise HostUnusableError(
                f"{self._host.name}: it has tuibench {told.tuibench_version}, this is {tuibench.__version__}; "
                f"{self._prepare}"
            )

    async def _why_not(self, process: asyncio.subprocess.Process, banner: bytes) -> HostUnusableError:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _TERMINATE_S)
        return no_connection(self._host, process.returncode, self._log.read_bytes() or banner)

    async def _tell_what_is_waited_for(self) -> None:
        """Tell who is waited for once that takes a while, with the launcher's latest word: its queue, often."""
        said = None
        while True:
            await asyncio.sleep(_TOLD_AFTER_S)
            lines = self._log.read_bytes().decode(errors="replace").strip().splitlines()
            latest = printable_line(lines[-1]) if lines else ""
            if latest != said:
                said = latest
                self._tell(f"waiting for {self._host.name}{f': {latest}' if latest else ''}")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        alive = asyncio.create_task(self._stay_alive())
        why = ""
        try:
            while chunk := await _read(process):
                for channel, content in self._frames.push(chunk):
                    self._take(channel, content)
        except (FrameError, msgspec.DecodeError) as error:
            why = f"{self._host.name} broke the protocol: {error}"
        finally:
            alive.cancel()
            self._lose(why or await self._why_lost(process))

    async def _why_lost(self, process: asyncio.subprocess.Process) -> str:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _TERMINATE_S)
        lines = self._log.read_bytes().decode(errors="replace").strip().splitlines()
        why = f"the connection to {self._host.name} was lost"
        if not self._closing:
            self._tell(f"{why}: {printable_line(lines[-1])}" if lines else why)  # with addresses that no session says
        return why

    def _lose(self, why: str) -> None:
        self.lost = why
        for waiting in self._questions.values():
            if not waiting.done():
                waiting.set_exception(DisconnectedError(why))
        self._questions.clear()
        for child in self._children.values():
            child.lose(why)

    def _take(self, channel: int, content: bytes) -> None:
        if channel != MESSAGES:
            if (child := self._children.get(channel)) is not None:
                child.feed(content)
            return
        match _decoder.decode(content):
            case Answer(question=number) as answer:
                waiting = self._questions.pop(number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            case WorkerOver(channel=number) as over:
                if (child := self._children.pop(number, None)) is not None:
                    child.over(over)
            case Noted(text=text):
                self._tell(f"{self._host.name}: {text}")
            case _:
                pass

    async def _stay_alive(self) -> None:
        while True:
            await asyncio.sleep(_ALIVE_S)
            self.send(Alive())

    def send(self, message: ToHost) -> None:
        """Send a message without waiting until it is read."""
        self.write(message_frame(message))

    def write(self, content: bytes) -> None:
        """Send a frame; where nobody takes it any more, the end of what comes back tells that."""
        if self._process is not None and self._process.stdin is not None and self.lost is None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(content)

    async def ask(self, question: Callable[[int], Question], kind: Any) -> Any:  # noqa: ANN401 - of that kind
        """Ask, and wait for the answer.

        Args:
            question: Makes the question with this number.
            kind: Of the answer's value.

        Raises:
            DisconnectedError: The connection is lost.
            HostUnusableError: The other end has no answer; the message is its own.
        """
        if self.lost is not None:
            raise DisconnectedError(self.lost)
        number = next(self._numbers)
        waiting = self._questions[number] = asyncio.get_running_loop().create_future()
        self.send(question(number))
        answer: Answer = await waiting
        if answer.refused is not None:
            raise HostUnusableError(answer.refused)
        return msgspec.json.decode(answer.value, type=kind)

    def start_worker(self, method: str, log_name: str) -> FarChild:
        """Start a method's worker there.

        Raises:
            DisconnectedError: The connection is lost.
        """
        if self.lost is not None:
            raise DisconnectedError(self.lost)
        channel = next(self._numbers)
        child = self._children[channel] = FarChild(channel, self.send, lambda line: self.write(frame(channel, line)))
        self.send(StartWorker(channel=channel, log_name=log_name, method=method))
        return child

    async def end_of_input(self, within_s: float) -> bool:
        """Close the other end's input; return whether it ended, and the launcher with it, within so many seconds."""
        process = self._process
        self._closing = True
        if process is None or process.stdin is None:
            return True
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), within_s)
        return process.returncode is not None

    async def close(self) -> None:
        """End it: standard input closes, which ends the other end in order; only then are signals sent."""
        process = self._process
        self._closing = True
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        in_order_s = _TERMINATE_S if self._reader is None else _CLOSE_S  # who never spoke has no workers to end
        for number, patience_s in ((signal.SIGTERM, in_order_s), (signal.SIGKILL, _TERMINATE_S)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), patience_s)
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        await process.wait()
        if self._reader is not None:
            await self._reader
        self._log.unlink(missing_ok=True)


async def _read(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise RuntimeError("a launcher has a pipe")
    return await process.stdout.read(_CHUNK_BYTES)
