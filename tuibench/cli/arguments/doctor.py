"""Arguments of `tuibench doctor`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--format", choices=("table", "json"), default="table", help="default: table")
    add("--remeasure", action="store_true", help="measure the read bandwidth anew (three seconds)")


DOCTOR = Verb(
    "doctor",
    "say what this machine is good for, and what would spoil a measurement",
    _add,
    "tuibench doctor --remeasure",
)
