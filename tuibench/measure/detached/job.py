"""A detached run as others see it: a folder with its order, its log, and how it stands.

The lock file is locked by the process that measures from its first moment on, since whoever starts it hands the locked
descriptor over. A run in a queue, which may begin on another machine, is asked of the queue.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tuibench import paths
from tuibench.core.format import printable_line
from tuibench.measure.detached import slurm
from tuibench.measure.detached.order import Order
from tuibench.measure.process.failure import log_tail

_KEPT_S = 30 * 86400
_STOPPED = 130


class JobError(Exception):
    """A run cannot be detached, found or ended; the message says why."""


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """How a detached run stands."""

    job: str
    host: str | None = None
    """What whoever ordered it calls the machine; None where that is not known."""
    session: str | None = None
    """The name of its session file, which is there from its first result on."""
    words: str
    """What to tell the user."""
    over: bool = False
    exit_code: int | None = None
    """As `tuibench run` ends; None where it is not over, or ended without a word."""


class _Ended(msgspec.Struct, frozen=True, kw_only=True):
    exit_code: int
    words: str


class Job:
    """One detached run."""

    def __init__(self, folder: Path) -> None:
        """Choose it by its folder."""
        self.folder = folder

    @classmethod
    def create(cls, order: Order, sessions: Path) -> Job:
        """Write a run down; those that ended long ago are forgotten.

        Args:
            order: What to measure.
            sessions: The folder for its session.

        Raises:
            OSError: It cannot be written.
        """
        for old in _jobs():
            with suppress(OSError):
                if time.time() - old.folder.stat().st_mtime > _KEPT_S and old.state().over:
                    shutil.rmtree(old.folder)
        folder = _root() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        folder.mkdir(parents=True)
        job = cls(folder)
        job._write("order.json", msgspec.json.encode(order))
        job._write("sessions", os.fsencode(sessions.absolute()))
        return job

    @property
    def name(self) -> str:
        """What it is called on its machine."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """Where its process writes what a terminal would show."""
        return self.folder / "log"

    def order(self) -> Order:
        """Return what it measures."""
        return msgspec.json.decode((self.folder / "order.json").read_bytes(), type=Order)

    def sessions(self) -> Path:
        """Return the folder for its session."""
        return Path(os.fsdecode((self.folder / "sessions").read_bytes()))

    def session(self) -> Path | None:
        """Return its session file, which need not exist yet; None before it has begun."""
        name = self._read("session")
        return None if name is None else Path(os.fsdecode(name))

    def note_session(self, path: Path) -> None:
        """Say where its results go."""
        self._write("session", os.fsencode(path.absolute()))

    def note_end(self, exit_code: int, words: str) -> None:
        """Say how it ended."""
        self._write("ended", msgspec.json.encode(_Ended(exit_code=exit_code, words=words)))

    def note_queue(self, number: str) -> None:
        """Say which job of Slurm's it is."""
        self._write("slurm", number.encode())

    def locked(self) -> int:
        """Return the descriptor of its lock, for its process to inherit."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def note_process(self, pid: int) -> None:
        """Say which process measures."""
        self._write("pid", str(pid).encode())

    def state(self) -> JobState:
        """Return how it stands."""
        queued = self._read("slurm")
        state = None
        if (ended := self._ended()) is None:
            if queued is not None:
                state = slurm.state_of(queued.decode())
            elif self._is_locked():
                state = "it is measured"
            ended = self._ended()  # perhaps meanwhile
        session = self.session()
        told = JobState(
            job=self.name, host=self.order().host, session=session.name if session else None, words=state or ""
        )
        if ended is not None:
            return msgspec.structs.replace(told, words=ended.words, over=True, exit_code=ended.exit_code)
        if state is not None:
            return told
        lines = log_tail(self.log).splitlines()
        latest = f"; the last it said: {printable_line(lines[-1])}" if lines else ""
        where = f"job {queued.decode()} of Slurm's" if queued is not None else "it"
        return msgspec.structs.replace(told, words=f"{where} ended without a word{latest}", over=True)

    def stop(self) -> None:
        """Have it end in order: what is finished stays.

        Raises:
            JobError: It is over, or cannot be ended from here.
        """
        if (state := self.state()).over:
            raise JobError(f"it is over: {state.words}")
        if (queued := self._read("slurm")) is not None:
            waits = slurm.waits(queued.decode())
            slurm.cancel(queued.decode())
            if waits:  # nobody else will say how it ended
                self.note_end(_STOPPED, "stopped before it began")
            return
        pid = self._read("pid")
        if pid is None or not self._is_locked():  # a process of this number may be another by now
            raise JobError("it has just ended, or just begun: look again")
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)

    def _ended(self) -> _Ended | None:
        found = self._read("ended")
        return None if found is None else msgspec.json.decode(found, type=_Ended)

    def _is_locked(self) -> bool:
        try:
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, name: str, content: bytes) -> None:
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_bytes(content)
        temporary.replace(self.folder / name)


def newest_jobs() -> list[Job]:
    """Return this machine's detached runs: those that are under way first, and the newest before older ones."""
    found = sorted(_jobs(), key=lambda job: job.name, reverse=True)
    return sorted(found, key=lambda job: job.state().over)


def job_called(name: str) -> Job:
    """Return a detached run of this machine.

    Raises:
        JobError: There is none of this name.
    """
    for job in _jobs():
        if job.name == name:
            return job
    raise JobError(f"no detached run is called {name}")


def _jobs() -> Iterator[Job]:
    with suppress(FileNotFoundError):
        yield from (Job(folder) for folder in _root().iterdir() if (folder / "sessions").is_file())


def _root() -> Path:
    return paths.cache_dir() / "detached"
