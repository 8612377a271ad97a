"""Arguments of `tuibench compare`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import percentage, session_name
from tuibench.cli.arguments.verb import SESSION_HELP, Verb

_FORMATS = ("table", "md", "csv", "json", "benchstat")
_EPILOG = """\
with --fail-on-regression PCT each method is one of three, named on standard error:
  regression   its 95 % interval lies wholly beyond a loss of PCT: exit code 3
  not slower   its interval lies wholly within that loss: exit code 0
  cannot tell  neither: exit code 0, with --strict 4
A method that a session on either side lacks does not pass: exit code 1. Sessions
of another prompt, model, setting or CPU are refused: 2. An unchanged build
fails in at most 2.5 % of cases, all methods together, if speed varies from one
session to the next by no more than --run-noise; four sessions or more show
themselves how it varies. Measure both sides in turns (base, new, base, new, …):
what the machine did on one day only is not a regression.

  tuibench compare --base A1 A2 A3 --new B1 B2 B3 --fail-on-regression 5

exit codes: 0 compared, no regression seen; 1 a method is missing on one side;
2 bad usage or input; 3 regression found; 4 cannot tell, with --strict
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    help_ = f"{SESSION_HELP}; the first is the yardstick"
    new_help = "…and of the build to judge, three a side or more"
    add("sessions", nargs="*", type=session_name, metavar="SESSION", help=help_)
    add("--base", nargs="+", default=(), type=session_name, metavar="SESSION", help="instead: of the build before")
    add("--new", nargs="+", default=(), type=session_name, metavar="SESSION", help=new_help)
    add("--yardstick", "--baseline", metavar="METHOD", help="the method all are compared with (default: kv-cache)")
    add("--format", choices=_FORMATS, default="table", help="default: table")
    add("--fail-on-regression", type=percentage, metavar="PCT", help="judge whether a method lost more speed than PCT")
    add("--run-noise", type=percentage, metavar="PCT", help="how much speed varies from session to session, taken as a "
        "standard deviation where one session a side cannot show it (default: 3%%)")  # fmt: skip
    add("--strict", action="store_true", help="fail where the sessions cannot tell, too")


COMPARE = Verb(
    "compare",
    "compare methods and sessions, with intervals",
    _add,
    "tuibench compare before last --fail-on-regression 5",
    _EPILOG,
)
