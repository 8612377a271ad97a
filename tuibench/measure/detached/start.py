"""Starting a run that outlives whoever starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tuibench.measure.detached import slurm
from tuibench.measure.detached.job import Job, JobError, JobState
from tuibench.measure.detached.order import Order, Queued

RUN_MODULE = "tuibench.cli.detached"
_POLL_S = 0.05


def start(order: Order, sessions: Path) -> JobState:
    """Start a process of its own session, which no terminal ends, and wait until it has begun, or failed.

    Args:
        order: What it measures.
        sessions: The folder for its session.

    Raises:
        JobError: It cannot be started.
    """
    try:
        job = Job.create(order, sessions)
        lock = job.locked()
        try:
            with job.log.open("wb") as log:
                process = subprocess.Popen(
                    _command(job),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[lock],
                )
        finally:
            os.close(lock)
        job.note_process(process.pid)
    except OSError as error:
        raise JobError(f"{error.filename or 'a detached run'}: cannot be started: {error.strerror}") from error
    while (state := job.state()).session is None and not state.over:
        time.sleep(_POLL_S)
    process.poll()
    return state


def submit(orders: Sequence[Queued], sessions: Path) -> list[JobState]:
    """Write a job script and submit it to Slurm; several runs are the tasks of one array.

    Args:
        orders: What is measured, and what srun would be given; their allocations are alike.
        sessions: The folder for their sessions, which the machines that they run on see, too.

    Raises:
        JobError: It was not taken.
    """
    try:
        jobs = [Job.create(each.order, sessions) for each in orders]
        script = jobs[0].folder / "job.sh"
        tasks = [
            slurm.Task(each.step_options, _command(job), job.log.absolute())
            for each, job in zip(orders, jobs, strict=True)
        ]
        script.write_text(slurm.script_text(tasks))
        number = slurm.submit(script, jobs[0].log)
        for index, job in enumerate(jobs):
            job.note_queue(number if len(jobs) == 1 else f"{number}_{index}")
    except OSError as error:
        raise JobError(f"{error.filename or 'a job script'}: cannot be written: {error.strerror}") from error
    except slurm.QueueError as error:
        raise JobError(f"it was not submitted: {error}") from error
    return [job.state() for job in jobs]


def _command(job: Job) -> list[str]:
    return [sys.executable, "-m", RUN_MODULE, str(job.folder.absolute())]
