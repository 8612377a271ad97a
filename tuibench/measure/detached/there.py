"""On a host: `python -m tuibench.measure.detached.there` answers for its detached runs and its sessions.

One JSON order a line on standard input, one JSON answer a line on standard output, until the input ends.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from pathlib import Path

import msgspec

import tuibench
from tuibench import paths
from tuibench.measure.detached.job import JobError, JobState, job_called, newest_jobs
from tuibench.measure.detached.orders import (
    Asked,
    Failed,
    ListJobs,
    ListSessions,
    Piece,
    ReadFile,
    Ready,
    Start,
    Stop,
    StoredSession,
    Submit,
)
from tuibench.measure.detached.slurm import QueueError
from tuibench.measure.detached.start import start, submit
from tuibench.store.under_way import is_measured

_MOST_BYTES = 1 << 20
_decoder: msgspec.json.Decoder[Asked] = msgspec.json.Decoder(Asked)


def _answer(order: Asked) -> object:
    match order:
        case Start(order=wanted):
            return start(wanted, paths.sessions_dir())
        case Submit(queued=queued):
            return submit(queued, paths.sessions_dir())
        case ListJobs():
            return [job.state() for job in newest_jobs()]
        case Stop(job=name):
            job_called(name).stop()
            return job_called(name).state()
        case ListSessions():
            return _sessions(paths.sessions_dir())
        case ReadFile(job=name, session=session, offset=offset):
            return _piece(name, session, offset)


def _sessions(folder: Path) -> list[StoredSession]:
    found = []
    for path in sorted(folder.glob("*.toml")):
        under_way = is_measured(path)
        content = path.read_bytes()
        found.append(
            StoredSession(
                name=path.name,
                sha256=hashlib.sha256(content).hexdigest(),
                n_bytes=len(content),
                under_way=under_way,
            )
        )
    return found


def _piece(job: str | None, session: str | None, offset: int) -> Piece:
    state: JobState | None = None
    if job is not None:
        state = job_called(job).state()  # asked first: what was written until its end is read
        path = job_called(job).session()
    else:
        path = paths.sessions_dir() / Path(session or "").name
    content = b""
    if path is not None and path.exists():
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(_MOST_BYTES)
    return Piece(content=base64.b64encode(content).decode(), more=len(content) == _MOST_BYTES, state=state)


def main() -> None:
    """Answer; whatever else is written to standard output goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)
    out.write(msgspec.json.encode(Ready(tuibench_version=tuibench.__version__)) + b"\n")
    for line in iter(sys.stdin.buffer.readline, b""):
        try:
            answer = _answer(_decoder.decode(line))
        except (JobError, QueueError, OSError, msgspec.DecodeError) as error:
            answer = Failed(error=str(error))
        out.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
