"""The detached runs and the sessions of a host, through its launcher."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

import tuibench
from tuibench.core.run.host import Host
from tuibench.measure.detached.job import JobState
from tuibench.measure.detached.order import Order, Queued
from tuibench.measure.detached.orders import (
    Asked,
    ListJobs,
    ListSessions,
    Piece,
    ReadFile,
    Start,
    Stop,
    StoredSession,
    Submit,
)
from tuibench.measure.hosts.far_end import FarEnd

_Kind = TypeVar("_Kind")
_THERE = "tuibench.measure.detached.there"


class FarStore:
    """A host where runs go on by themselves; use `reached`."""

    def __init__(self, far: FarEnd) -> None:
        """Take over a conversation."""
        self._far = far

    def start(self, order: Order) -> JobState:
        """Start a run there, and return its state once it has begun or failed.

        Raises:
            HostUnusableError: It cannot be started; the message says why.
        """
        return self._asked(Start(order=order), JobState)

    def submit(self, queued: tuple[Queued, ...]) -> list[JobState]:
        """Put runs into the queue there, several as one array.

        Raises:
            HostUnusableError: The queue does not take them; the message says why.
        """
        return self._asked(Submit(queued=queued), list[JobState])

    def jobs(self) -> list[JobState]:
        """Return the runs there, those that are under way first.

        Raises:
            HostUnusableError: It is gone.
        """
        return self._asked(ListJobs(), list[JobState])

    def stop(self, job: str) -> JobState:
        """End a run there in order.

        Raises:
            HostUnusableError: It is over, or the host is gone.
        """
        return self._asked(Stop(job=job), JobState)

    def sessions(self) -> list[StoredSession]:
        """Return what sessions are there.

        Raises:
            HostUnusableError: It is gone.
        """
        return self._asked(ListSessions(), list[StoredSession])

    def session(self, name: str) -> bytes:
        """Return the content of a session file.

        Raises:
            HostUnusableError: It is gone.
        """
        content = b""
        while True:
            piece = self._asked(ReadFile(session=name, offset=len(content)), Piece)
            content += base64.b64decode(piece.content)
            if not piece.more:
                return content

    def copy_more(self, job: str, path: Path) -> JobState:
        """Append what has come to a run's session to a copy of it; return how the run stood before.

        Raises:
            HostUnusableError: It is gone.
        """
        while True:
            offset = path.stat().st_size if path.exists() else 0
            piece = self._asked(ReadFile(job=job, offset=offset), Piece)
            if piece.content:
                with path.open("ab") as file:
                    file.write(base64.b64decode(piece.content))
            if not piece.more and piece.state is not None:
                return piece.state

    def give_up(self) -> None:
        """Wait for no further answer, in whatever thread."""
        self._far.give_up()

    def _asked(self, order: Asked, kind: type[_Kind]) -> _Kind:
        return msgspec.convert(self._far.ask_line(msgspec.json.encode(order)), kind)


@contextmanager
def reached(host: Host) -> Iterator[FarStore]:
    """Reach a host, or the machine where its queue takes jobs.

    Raises:
        HostUnusableError: It cannot be reached, or has another tuibench.
    """
    there, _ = host.submitting()
    far = FarEnd(there, there.module(_THERE))
    try:
        version = far.ready.get("tuibench_version")
        if version != tuibench.__version__:
            remedy = f"`tuibench hosts prepare {host.name}` brings this one there"
            raise far.unusable(f"it has tuibench {version}, this is {tuibench.__version__}; {remedy}")
        yield FarStore(far)
    finally:
        far.close()
