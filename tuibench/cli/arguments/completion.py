"""Arguments of `tuibench completion`."""

from __future__ import annotations

import argparse

from tuibench.cli.arguments.verb import Verb

SHELLS = ("bash", "zsh", "tcsh")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="whose script is printed")


COMPLETION = Verb(
    "completion",
    "print a script that lets a shell complete commands, options and methods",
    _add,
    "tuibench completion bash > ~/.local/share/bash-completion/completions/tuibench",
)
