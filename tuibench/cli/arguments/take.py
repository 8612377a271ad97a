"""Arguments of `tuibench take`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import given_path, model_name, session_name, words
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("method", type=words, metavar="METHOD", help="see `tuibench methods`")
    add(
        "--model",
        type=model_name,
        metavar="M",
        default=argparse.SUPPRESS,  # else `tuibench --model M take` would take the default model
        help="hub id, local folder or .gguf file (default: SmolLM2-135M-Instruct)",
    )
    add("-o", "--output", type=given_path, metavar="FOLDER", help="new or empty (default: ./MODEL-METHOD)")
    add(
        "--session",
        type=session_name,
        metavar="SESSION",
        help="whose figures the README shows (default: the newest of this model and method)",
    )
    add("--calibration", type=given_path, metavar="F", help="UTF-8 text that the method was calibrated on")
    ranges = ("min-max", "percentile", "entropy")
    add("--calibration-ranges", choices=ranges, default="min-max", help="how they were picked (default: min-max)")


TAKE = Verb("take", "make a folder that runs a method without tuibench", _add)
