"""Arguments of `tuibench hosts`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import given, model_name, positive_int, seconds
from tuibench.cli.arguments.verb import Verb

_EPILOG = """\
A host is a launcher that starts a command on another machine, in the settings:

  [hosts.big]
  launcher = ["ssh", "-T", "user@big"]
  price_per_hour = 2.10

list     what the settings name
check    whether a run there would work, with the remedy where not
prepare  copies there what is missing of this tuibench and the model

exit codes: 0 all is well; 1 something needs mending; 2 bad usage or settings
"""


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("list", "check", "prepare"), default="list", help="(default: list)")
    add("hosts", nargs="*", type=given, metavar="HOST", help="of the settings (default: all)")
    add("--model", type=model_name, metavar="M", default=argparse.SUPPRESS, help="that is needed there")
    add("--threads", type=positive_int, metavar="N", help="with check: that a run would use")
    add("--timeout", type=seconds, metavar="SECONDS", help="with check: longest wait (default: 60)")


HOSTS = Verb("hosts", "list, check or prepare other machines to measure on", _add, "tuibench hosts check big", _EPILOG)
