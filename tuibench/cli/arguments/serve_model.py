"""Arguments of `tuibench serve-model`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.one_method import add_calibration_arguments, add_method_arguments, add_threads_argument
from tuibench.cli.arguments.values import given, natural_int
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    add_method_arguments(parser)
    add = parser.add_argument
    add("--port", type=natural_int, default=8080, metavar="N", help="0 for any (default: 8080)")
    add("--key-env", type=given, metavar="VAR", help="environment variable with the key (default: a new key is made)")
    add_threads_argument(parser)
    add_calibration_arguments(parser)


SERVE_MODEL = Verb(
    "serve-model",
    "a method behind an OpenAI-compatible API on this machine",
    _add,
    "tuibench serve-model fused-int8 --port 8080",
)
