"""Arguments of `tuibench help`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import words
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", type=words, metavar="TOPIC", help="a page, or a command; all without one")


HELP = Verb("help", "the manual: what each number means, lamps, methods, SSH and more", _add, "tuibench help numbers")
