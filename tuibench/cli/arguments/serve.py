"""Arguments of `tuibench serve`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.values import natural_int
from tuibench.cli.arguments.verb import Verb


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=natural_int, default=8000, metavar="N", help="0 for any (default: 8000)")


SERVE = Verb("serve", "the dashboard in a browser on this machine", _add, "tuibench serve --port 8000")
