"""A child process that cannot outlive its parent: `python tether.py PARENT_PID COMMAND …`.

The kernel kills it when the parent dies, also by SIGKILL. (`preexec_fn` would do the same, but may deadlock in a
program with threads.) It is run as a file: a child may have an environment in which no interpreter finds tuibench.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tethered(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` tied to this process."""
    return [sys.executable, "-I", __file__, str(os.getpid()), *command]


def main() -> None:
    """Tie this process to its parent and become the command."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the tie was made
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
