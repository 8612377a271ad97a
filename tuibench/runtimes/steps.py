"""The steps of an installation: modules of Python's that say what they do, and die with whoever started them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

from tuibench.models.tether import tethered

_SHOWN_CHARS = 300
_SAYS_ERROR = re.compile(r"\b(error:|CMake Error|No matching distribution|No space left|Killed)", re.IGNORECASE)
"""In the order of what is written, the first of these is the cause and the rest its consequences."""
OnProgress = Callable[[str], None]


class RuntimeProblemError(Exception):
    """A runtime cannot be installed, removed or used; the message says why and what helps."""


def run_step(module: list[str], on_progress: OnProgress, compiling: Mapping[str, str] | None = None) -> None:
    """Run a module that dies with this process, and tell each line that it writes.

    Args:
        module: Its name and arguments.
        on_progress: Told each line.
        compiling: Variables of the environment for what is compiled; None where nothing is.

    Raises:
        RuntimeProblemError: It failed.
    """
    lines: list[str] = []
    with subprocess.Popen(
        # Without our own search path: pip would take what lies there for installed.
        tethered(["env", "-u", "PYTHONPATH", sys.executable, "-m", *module]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | _with_ours(compiling or {}),
        start_new_session=True,
    ) as child:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in child.stdout:
                lines.append(line.strip())
                on_progress(line.strip()[:_SHOWN_CHARS])
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # compilers are children of children
            raise
    if child.returncode and compiling is not None:
        why = next((line for line in lines if _SAYS_ERROR.search(line)), lines[-1] if lines else "it gives no reason")
        raise RuntimeProblemError(f"it cannot be compiled: {why[:_SHOWN_CHARS]}; without --build it comes compiled")
    if child.returncode:
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        why = (errors or lines or [f"{module[0]} ended with {child.returncode}"])[-1][:_SHOWN_CHARS]
        raise RuntimeProblemError(
            f"it cannot be installed: {why}; if this machine reaches no package index, copy wheels to it and set "
            "PIP_FIND_LINKS to their folder and PIP_NO_INDEX=1"
        )


def _with_ours(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables with what the user has them say at their ends, where it counts more."""
    return {name: f"{value} {os.environ.get(name, '')}".strip() for name, value in variables.items()}
