"""The parent's end of a process with a model: start it, ask it, call an answer off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec

from tuibench import paths
from tuibench.core.run.events import Phase
from tuibench.machine.thread_pools import worker_environment
from tuibench.measure.process.failure import explain_exit, oom_kill_count
from tuibench.models.tether import tethered
from tuibench.serving.messages import (
    Cancel,
    Failed,
    Finished,
    Generate,
    Load,
    Loading,
    Message,
    Order,
    Piece,
    Ready,
    Refused,
    Started,
    decode_message,
)

_COMMAND = (sys.executable, "-m", "tuibench.serving.child")
_END_S = 5.0


class ModelGoneError(Exception):
    """The process with the model could not load it, or is gone; one sentence says why."""


class RefusedError(Exception):
    """There is no answer, or no more of it; the next may go well."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.fault = refused.fault


class ModelProcess:
    """One process with one model, asked for one answer at a time by the thread that started it.

    The kernel ends it with that thread.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Take over a process; use `start`."""
        self._process = process
        self._log = log
        self._oom_kills = oom_kill_count()
        self._ready: Ready | None = None
        self._answering: int | None = None

    @classmethod
    def start(cls, load: Load, on_step: Callable[[str], None]) -> Self:
        """Start a process and have it load a method; blocks until it is there.

        Args:
            load: What to load.
            on_step: Told what is being done.

        Raises:
            ModelGoneError: It cannot be loaded.
        """
        log = paths.logs_dir() / f"serving.{load.method}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                tethered(_COMMAND),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env=os.environ | worker_environment(load.n_threads) | {"PYTHONUNBUFFERED": "1"},
                process_group=0,  # Ctrl+C in the terminal ends an answer, which is ours to say
            )
        started = cls(process, log)
        try:
            started._wait_until_ready(load, on_step)
        except BaseException:
            started.close()
            raise
        return started

    @property
    def ready(self) -> Ready:
        """What it said when the model was there."""
        assert self._ready is not None  # noqa: S101 - `start` waits for it
        return self._ready

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def generate(self, order: Generate) -> Iterator[Started | Piece | Finished]:
        """Ask for an answer, and yield what comes up to `Finished`.

        Raises:
            RefusedError: There is no answer, or no more of it.
            ModelGoneError: The process is gone; start another.
        """
        self._answering = order.id
        self._send(order)
        while True:
            match self._next(Phase.DECODE):
                case Finished() as finished:
                    self._answering = None
                    yield finished
                    return
                case Refused() as refused:
                    self._answering = None
                    raise RefusedError(refused)
                case Started() | Piece() as message:
                    yield message
                case message:
                    raise ModelGoneError(f"the process with the model says something else than asked: {message}")

    def cancel(self) -> None:
        """End the answer that is being made, if there is one; from whatever thread, or a signal handler."""
        if (answering := self._answering) is not None:
            self._send(Cancel(answering))

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self, load: Load, on_step: Callable[[str], None]) -> None:
        self._send(load)
        told = ""
        while self._ready is None:
            match self._next(Phase.LOAD):
                case Loading(label) if label != told:
                    on_step(told := label)
                case Loading():
                    pass
                case Ready() as ready:
                    self._ready = ready
                case Failed(message):
                    raise ModelGoneError(message)
                case message:
                    raise ModelGoneError(f"the process with the model says something else than asked: {message}")

    def _send(self, order: Order) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        line = msgspec.json.encode(order) + b"\n"
        try:
            while line:
                line = line[os.write(self._process.stdin.fileno(), line) :]
        except BrokenPipeError:
            pass  # it is gone, as whoever reads from it sees

    def _next(self, phase: Phase) -> Message:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if line.endswith(b"\n"):
            return decode_message(line)
        self._answering = None
        _, why = explain_exit(self._process.wait(), phase, oom_kill_count() - self._oom_kills)
        raise ModelGoneError(f"{why}; see {self._log}")
