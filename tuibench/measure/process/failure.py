"""Why a worker gave no result: from exit codes, time-outs and log files to one sentence."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from tuibench.core.run.events import FailureKind, Phase
from tuibench.machine.cgroup import own_groups

_TAIL_BYTES = 4096
_TAIL_LINES = 25
_SIGNAL_OFFSET = 128


@dataclass
class WorkerFailureError(Exception):
    """A worker ended, or was ended, without the result that was asked for."""

    kind: FailureKind
    message: str
    phase: Phase = Phase.START
    log_tail: str = ""

    def __str__(self) -> str:
        """Return the sentence for the user."""
        return self.message


def explain_interruption(kind: FailureKind, phase: Phase) -> str:
    """Return the sentence for a worker that was ended because somebody wanted it."""
    what = {FailureKind.CANCELLED: "the run was stopped", FailureKind.SKIPPED: "this method was skipped"}
    return f"{what.get(kind, kind)} during {phase}"


def explain_exit(returncode: int | None, phase: Phase, oom_kills: int) -> tuple[FailureKind, str]:
    """Return the kind and the sentence for a worker that is gone without a word.

    Args:
        returncode: As `subprocess` gives it: negative for a signal; None when it is not known.
        phase: What the worker was doing.
        oom_kills: Processes that the kernel killed in this cgroup since the worker started.
    """
    if returncode is None:
        return FailureKind.CRASHED, f"the worker closed its event pipe during {phase}"
    if returncode in (-signal.SIGKILL, _SIGNAL_OFFSET + signal.SIGKILL):
        if oom_kills:
            return FailureKind.OUT_OF_MEMORY, f"the kernel killed the worker during {phase}: out of memory"
        return FailureKind.KILLED, f"the worker was killed during {phase} (SIGKILL; often the kernel, out of memory)"
    if returncode < 0:
        name = _signal_name(-returncode)
        kind = FailureKind.KILLED if name in ("SIGTERM", "SIGINT", "SIGHUP") else FailureKind.CRASHED
        return kind, f"the worker died of {name} during {phase}"
    return FailureKind.CRASHED, f"the worker ended with exit code {returncode} during {phase}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have names at both ends only, and two below them none at all
        offset = number - signal.SIGRTMIN
        return f"SIGRTMIN+{offset}" if offset > 0 else f"signal {number}"


def log_tail(path: Path) -> str:
    """Return the last lines of a log, as far as they are readable; empty when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def oom_kill_count() -> int:
    """Return how many processes the kernel has killed for memory in this process's control group, as far as it says."""
    for folder in own_groups("memory"):  # the innermost knows of its own, whichever group's limit it was
        for name in ("memory.events", "memory.oom_control"):
            try:
                lines = (folder / name).read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                key, _, value = line.partition(" ")
                if key == "oom_kill" and value.isdigit():
                    return int(value)
    return 0
