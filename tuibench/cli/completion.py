"""`tuibench completion`: a script for the user's shell, which then asks this program nothing while somebody types."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

from tuibench.cli import OK
from tuibench.cli.arguments.values import given_path, model_name, session_name
from tuibench.cli.command_line import parser
from tuibench.methods import available_methods

_FILES = (given_path, model_name, session_name)
"""Kinds of values that may be files or folders."""


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    top = parser()
    _describe(top)
    print(shtab.complete(top, shell=options.shell))
    return OK


def _describe(parser_: argparse.ArgumentParser) -> None:
    """Say what may stand where argparse takes any text."""
    for action in parser_._actions:  # noqa: SLF001 - argparse has no public way to ask for them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for own in action.choices.values():
                _describe(own)
        elif action.dest in {"method", "yardstick"}:
            action.choices = list(available_methods())
        elif action.type in _FILES or action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
