"""Arguments of `tuibench methods`: none."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.verb import Verb


def _add(_: argparse.ArgumentParser) -> None:
    """Add nothing."""


METHODS = Verb("methods", "list the methods that can be compared", _add, "tuibench methods")
