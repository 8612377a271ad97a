"""Arguments of `tuibench runtimes`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import given
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("list", "add", "rm", "check"), default="list", help="default: list")
    add("runtime", nargs="?", type=given, metavar="RUNTIME", help="one of those that `tuibench runtimes` lists")
    add(
        "--build",
        action="store_true",
        help="add: compile it on this machine, for all instructions of its CPU (llama-cpp; minutes)",
    )


RUNTIMES = Verb(
    "runtimes",
    "list, add, remove or check the runtimes of others, such as llama.cpp",
    _add,
    "tuibench runtimes add llama-cpp",
    epilog="""\
each lives in a virtual environment of its own in the cache, in versions that were tested, and is removed whole
""",
)
