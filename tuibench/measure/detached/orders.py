"""What is asked of the other end about its detached runs and its sessions, and what it answers."""

from __future__ import annotations

import msgspec

from tuibench.measure.detached.job import JobState
from tuibench.measure.detached.order import Order, Queued


class _Question(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag=True):
    pass


class Start(_Question, frozen=True, kw_only=True):
    """Start a run; answered with its state once it has begun, or has failed."""

    order: Order


class Submit(_Question, frozen=True, kw_only=True):
    """Put runs into Slurm's queue, several as one array; answered with their states."""

    queued: tuple[Queued, ...]


class ListJobs(_Question, frozen=True, kw_only=True):
    """Answered with the states of all detached runs, those that are under way first."""


class Stop(_Question, frozen=True, kw_only=True):
    """End a run in order; answered with its state."""

    job: str


class ListSessions(_Question, frozen=True, kw_only=True):
    """Answered with all session files."""


class ReadFile(_Question, frozen=True, kw_only=True):
    """Answered with a piece of a session file: of a detached run, or by its name."""

    job: str | None = None
    session: str | None = None
    offset: int = 0


Asked = Start | Submit | ListJobs | Stop | ListSessions | ReadFile


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The first word."""

    tuibench_version: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An order could not be followed."""

    error: str


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session file."""

    name: str
    sha256: str
    n_bytes: int
    under_way: bool
    """Whether somebody measures it."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What a session file has from an offset on, as much as one answer holds."""

    content: str
    """In base 64."""
    more: bool
    """Whether there is more already."""
    state: JobState | None = None
    """How the run stood before it was read."""
