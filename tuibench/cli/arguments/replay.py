"""Arguments of `tuibench replay`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import session_name, speed
from tuibench.cli.arguments.verb import SESSION_HELP, Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("session", type=session_name, metavar="SESSION", help=SESSION_HELP)
    add("--speed", type=speed, default=1.0, metavar="X", help="2 is twice as fast (default: 1)")
    add("--plain", action="store_true", help="print lines instead of opening the dashboard")


REPLAY = Verb("replay", "show a stored session at its recorded speed", _add, "tuibench replay last --plain --speed 10")
