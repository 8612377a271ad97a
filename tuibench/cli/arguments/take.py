"""Arguments of `tuibench take`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.one_method import add_calibration_arguments, add_method_arguments
from tuibench.cli.arguments.values import given_path, session_name
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add_method_arguments(parser)
    add = parser.add_argument
    add("-o", "--output", type=given_path, metavar="FOLDER", help="new or empty (default: ./MODEL-METHOD)")
    add(
        "--session",
        type=session_name,
        metavar="SESSION",
        help="whose figures the README shows (default: the newest of this model and method)",
    )
    add_calibration_arguments(parser)


TAKE = Verb("take", "make a folder that runs a method without tuibench", _add, "tuibench take int8-dynamic -o answers")
