"""The parser of all verbs."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import tuibench
from tuibench.cli.arguments.attach import ATTACH
from tuibench.cli.arguments.chat import CHAT
from tuibench.cli.arguments.compare import COMPARE
from tuibench.cli.arguments.completion import COMPLETION
from tuibench.cli.arguments.dashboard import add_dashboard_arguments
from tuibench.cli.arguments.doctor import DOCTOR
from tuibench.cli.arguments.export import EXPORT
from tuibench.cli.arguments.help import HELP
from tuibench.cli.arguments.hosts import HOSTS
from tuibench.cli.arguments.methods import METHODS
from tuibench.cli.arguments.models import MODELS
from tuibench.cli.arguments.pick import PICK
from tuibench.cli.arguments.replay import REPLAY
from tuibench.cli.arguments.run import RUN
from tuibench.cli.arguments.runtimes import RUNTIMES
from tuibench.cli.arguments.serve import SERVE
from tuibench.cli.arguments.serve_model import SERVE_MODEL
from tuibench.cli.arguments.sessions import SESSIONS
from tuibench.cli.arguments.take import TAKE
from tuibench.cli.arguments.verb import EXIT_CODES

_VERBS = (
    RUN, ATTACH, PICK, REPLAY, COMPARE, EXPORT, TAKE, CHAT, SERVE_MODEL, SESSIONS, MODELS, HOSTS, METHODS, RUNTIMES,
    DOCTOR, SERVE, COMPLETION, HELP,
)  # fmt: skip
VERBS = tuple(verb.name for verb in _VERBS)


class _Parser(argparse.ArgumentParser):
    """Takes options only as they are spelt: `--method` is not `--methods`, nor whatever begins so tomorrow."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - handed on as they are
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse; what was typed may hold anything."""
        from tuibench.core.format import printable_line  # noqa: PLC0415 - not needed for --help

        line = printable_line(f"tuibench: {message}")
        self.exit(2, line if "did you mean" in line else f"{line}; see `{self.prog} --help`")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the program, with a line of its own for the message."""
        super().exit(status, f"{message}\n" if message else None)

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - of any type
        """Refuse what is not one of the choices, and name the one that is nearest."""
        if action.choices is None or value in action.choices:
            return
        from difflib import get_close_matches  # noqa: PLC0415 - not needed for what is right

        near = get_close_matches(str(value), map(str, action.choices), n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]}?" if near else f"choose from {', '.join(map(str, action.choices))}"
        raise argparse.ArgumentError(action, f"invalid choice {value!r}; {remedy}")


def parser(words: Collection[str] = VERBS) -> argparse.ArgumentParser:
    """Return the parser of all verbs. It knows their arguments, not their code: `--help` must be instant.

    Args:
        words: Of a command line: a verb that is not among them needs no arguments, which take half of the time.
    """
    layout = argparse.RawDescriptionHelpFormatter
    top = _Parser(prog="tuibench", description=tuibench.__doc__, epilog=EXIT_CODES, formatter_class=layout)
    top.add_argument("--version", action="version", version=f"tuibench {tuibench.__version__}")
    add_dashboard_arguments(top)
    top.set_defaults(verb="dashboard")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", description="without one, the dashboard opens")
    for verb in _VERBS:
        own = verbs.add_parser(
            verb.name,
            help=verb.help,
            description=f"{verb.help[0].upper()}{verb.help[1:]}.",
            epilog="\n".join(filter(None, (f"example: {verb.example}\n", verb.epilog))),
            formatter_class=layout,
        )
        if verb.name in words:
            verb.add_arguments(own)
        own.set_defaults(verb=verb.name)
    return top


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what a command line says; what is wrong with it ends the program with a word and exit code 2."""
    top = parser(arguments)
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        from difflib import get_close_matches  # noqa: PLC0415

        known = [f"--{name.replace('_', '-')}" for name in vars(options)]
        near = get_close_matches(unknown[0].partition("=")[0], known, n=1)
        if options.verb != "dashboard":
            top.prog = f"{top.prog} {options.verb}"  # whose help tells of them
        top.error(f"unrecognized arguments: {' '.join(unknown)}{f'; did you mean {near[0]}?' if near else ''}")
    return options
