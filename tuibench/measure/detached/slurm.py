"""Slurm's queue: a script is submitted, asked after, and cancelled, by its own commands."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tuibench.core.format import printable_line

_OF_STEPS = frozenset({"--cpu-bind", "--mpi", "--unbuffered", "-u", "--pty", "--label", "-l", "--overlap", "--exact"})
"""Options of srun's that say how a step runs and not what is allocated: sbatch does not know them."""
_WITH_VALUE = frozenset({"--cpu-bind", "--mpi"})
_STATES = {
    "PENDING": "it waits in the queue",
    "CONFIGURING": "its machine is made ready",
    "RUNNING": "it is measured",
    "COMPLETING": "it is ending",
    "SUSPENDED": "it is suspended",
}
_PATIENCE_S = 60


class QueueError(Exception):
    """Slurm refused; the message is its own."""


def submit(script: Path, log: Path) -> str:
    """Submit a script and return the number of the job; of an array's, each is that number, `_`, and its index.

    Raises:
        QueueError: It was not taken.
    """
    return _said("sbatch", "--parsable", f"--output={log}", "--open-mode=append", str(script)).partition(";")[0]


class Task(NamedTuple):
    """One command that is run as a step."""

    step_options: Sequence[str]
    """What srun would be given: how many CPUs, which partition, how to bind."""
    command: Sequence[str]
    log: Path
    """Where what it writes is appended."""


def script_text(tasks: Sequence[Task]) -> str:
    """Return a job script: of one task, or of an array with several, whose allocations are alike."""
    options = shlex.join(allocation(tasks[0].step_options))
    lines = ["#!/bin/sh", "#SBATCH --job-name=tuibench", *([f"#SBATCH {options}"] if options else [])]
    steps = [
        f"exec {shlex.join(['srun', *task.step_options, *task.command])} >>{shlex.quote(str(task.log))} 2>&1"
        for task in tasks
    ]
    if len(steps) == 1:
        return "\n".join([*lines, *steps, ""])
    cases = [f"{index}) {step} ;;" for index, step in enumerate(steps)]
    array = f"#SBATCH --array=0-{len(tasks) - 1}"
    return "\n".join([*lines, array, 'case "$SLURM_ARRAY_TASK_ID" in', *cases, "esac", ""])


def allocation(step_options: Sequence[str]) -> list[str]:
    """Return those of srun's options that say what is allocated."""
    return [
        word
        for before, word in pairwise(("", *step_options))
        if before not in _WITH_VALUE and word.partition("=")[0] not in _OF_STEPS
    ]


def state_of(number: str) -> str | None:
    """Return how a job stands, in words; None where the queue does not have it any more."""
    try:
        state, reason = _state(number)
    except QueueError as error:
        if "Invalid job id" in str(error):
            return None
        return f"the queue does not answer: {error}"
    if state in _STATES:
        why = f" ({reason})" if reason not in {"", "None"} else ""
        return f"job {number}: {_STATES[state]}{why}"
    return None  # failed, timed out, cancelled: for some minutes it is still listed so


def waits(number: str) -> bool:
    """Return whether a job has not begun.

    Raises:
        QueueError: The queue does not answer.
    """
    return _state(number)[0] == "PENDING"


def _state(number: str) -> tuple[str, str]:
    said = _said("squeue", "--noheader", "--array", f"--jobs={number}", "--format=%T|%r")
    state, _, reason = said.partition("\n")[0].partition("|")
    return state, reason


def cancel(number: str) -> None:
    """Have a job end; one that runs is asked first.

    Raises:
        QueueError: Slurm refused.
    """
    _said("scancel", number)


def _said(*command: str) -> str:
    """Return what a command prints.

    Raises:
        QueueError: It failed.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except OSError as error:
        raise QueueError(f"{command[0]} cannot be started: {error.strerror}; is this where Slurm is?") from error
    except subprocess.TimeoutExpired as error:
        raise QueueError(f"{command[0]} did not answer within {_PATIENCE_S} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise QueueError(printable_line(lines[-1]) if lines else f"{command[0]} ended with exit code {done.returncode}")
    return done.stdout.strip()
