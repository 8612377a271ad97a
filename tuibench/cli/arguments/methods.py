"""Arguments of `tuibench methods`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import model_name, positive_int
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=model_name,
        metavar="M",
        default=argparse.SUPPRESS,  # else `tuibench --model M methods` would say nothing of memory
        help="say how much memory each method would need for this model, and whether it is free",
    )
    parser.add_argument(
        "--tokens",
        type=positive_int,
        metavar="N",
        help="length of the text that the KV-cache is counted for (default: what a run generates)",
    )


METHODS = Verb(
    "methods", "list the methods, and how much memory they would need", _add, "tuibench methods --model MODEL"
)
