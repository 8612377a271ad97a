"""`tuibench attach`: a detached run in the dashboard or as lines, wherever it is measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli import OK, SOME_FAILED
from tuibench.cli.arguments import UsageError
from tuibench.cli.follow import follow
from tuibench.cli.result_table import result_lines
from tuibench.cli.run_hosts import settings_hosts
from tuibench.core.format import printable, printable_line
from tuibench.measure.detached.copy import SessionCopy
from tuibench.measure.detached.far import reached
from tuibench.measure.detached.job import Job, JobError, JobState, newest_jobs
from tuibench.measure.detached.slurm import QueueError
from tuibench.measure.hosts.host import HostUnusableError
from tuibench.store.catalogue import find_session
from tuibench.store.imports import import_session
from tuibench.store.replay import stored_state
from tuibench.store.schema import SessionError
from tuibench.store.under_way import is_measured

if TYPE_CHECKING:
    import argparse

    from tuibench.core.run.host import Host

_POLL_S = 0.5


def run(options: argparse.Namespace) -> int:
    """Follow a run to its end, or stop it.

    Raises:
        UsageError: There is no such run, or it cannot be reached.
    """
    try:
        host = settings_hosts().get(options.what) if options.what is not None else None
        return _here(options) if host is None else _there(host, options)
    except (JobError, QueueError, HostUnusableError, SessionError) as error:
        raise UsageError(printable_line(str(error))) from error


def _here(options: argparse.Namespace) -> int:
    job = _job(options.what)
    if job is None:
        return _not_detached(options)
    if options.stop:
        job.stop()
        _say_stopped(job.name, job.state())
        return OK
    _wait_for_results(job.state, lambda: (path := job.session()) is not None and is_measured(path))
    path = job.session()
    if path is not None and path.exists():
        _show(path, options)
    return _ended(job.state(), path)


def _not_detached(options: argparse.Namespace) -> int:
    path = find_session(options.what, (paths.sessions_dir(),), index=paths.session_index())
    if options.stop:
        raise UsageError(f"{path.name} was not detached: Ctrl+C, where it is measured, ends it")
    _show(path, options)
    return OK


def _job(name: str | None) -> Job | None:
    jobs = newest_jobs()
    for job in jobs:
        session = job.session()
        if name is None or job.name == name or (session is not None and session.stem.startswith(Path(name).stem)):
            return job
    if name is None:
        raise UsageError(
            "no run was detached here: `tuibench run --detach` starts one; for a run on a host, give its name"
        )
    return None


def _there(host: Host, options: argparse.Namespace) -> int:
    with ExitStack() as stack:
        far = stack.enter_context(reached(host))
        jobs = [job for job in far.jobs() if job.host in {None, host.name}]  # others are reached there, too, perhaps
        if not jobs:
            raise UsageError(f"no run was detached on {host.name}: `tuibench run --on {host.name} --detach` starts one")
        job = jobs[0].job
        if options.stop:
            _say_stopped(host.name, far.stop(job))
            return OK
        folder = paths.cache_dir() / "attached" / host.name
        copy = stack.enter_context(SessionCopy(far, job, folder))
        _wait_for_results(lambda: copy.state, lambda: copy.path is not None)
        if copy.path is not None:
            _show(copy.path, options)
        if copy.lost is not None:
            raise UsageError(f"{copy.lost}; it goes on there: attach again")
        brought = None
        if copy.state.over and copy.path is not None:
            brought = import_session(copy.path, paths.sessions_dir())
            _say(f"{'imported as' if brought.new else 'it is in the list already:'} {brought.path.stem}")
        return _ended(copy.state, brought.path if brought else None)


def _wait_for_results(state: Callable[[], JobState], there: Callable[[], bool]) -> None:
    """Wait until there is a session, or nothing will come; tell meanwhile how it stands."""
    said = None
    while not there() and not (now := state()).over:
        if now.words != said:
            said = now.words
            _say(said)
        time.sleep(_POLL_S)


def _show(path: Path, options: argparse.Namespace) -> None:
    if not options.plain and all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        from tuibench.cli.dashboard import open_dashboard  # noqa: PLC0415 - Textual

        open_dashboard(options, open_session=path, speed=None)
        return
    session = follow(path)
    print(printable("\n".join(result_lines(stored_state(session)))), flush=True)


def _ended(state: JobState, path: Path | None) -> int:
    if not state.over:
        _say(f"{state.words}: it goes on by itself")
        return OK
    _say(state.words)
    if path is not None and path.exists():
        _say(str(path))
    return SOME_FAILED if state.exit_code is None else state.exit_code


def _say_stopped(name: str, state: JobState) -> None:
    _say(f"{name}: asked to stop: {state.words if state.over else 'what is finished stays saved'}")


def _say(text: str) -> None:
    print(printable_line(text), file=sys.stderr, flush=True)
