"""Arguments of `tuibench attach`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import session_name
from tuibench.cli.arguments.verb import Verb

_EPILOG = """\
Without a name: the run detached last on this machine. Ctrl+C stops following; the run goes on.
A host's session is copied into your list when it has ended.

exit codes: those of the run; 2 there is no such run
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("what", nargs="?", type=session_name, metavar="SESSION|HOST", help="a detached run, or the host that has it")
    add("--plain", action="store_true", help="print lines instead of opening the dashboard")
    add("--stop", action="store_true", help="end it: what is finished stays saved")


ATTACH = Verb("attach", "follow a run that was detached, or stop it", _add, "tuibench attach big", _EPILOG)
