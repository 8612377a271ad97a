"""The command line: one module per verb, each imported when its verb is used."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

import tuibench
from tuibench.cli.arguments import (
    UsageError,
    add_compare_arguments,
    add_dashboard_arguments,
    add_export_arguments,
    add_run_arguments,
    given,
    model_name,
    natural_int,
    session_name,
    speed,
    words,
)
from tuibench.cli.take_arguments import add_take_arguments

OK, SOME_FAILED, BAD_USAGE, REGRESSED, CANNOT_TELL, INTERRUPTED = 0, 1, 2, 3, 4, 130

_EPILOG = """\
exit codes: 0 all rows measured; 1 some rows failed (they are in the session, with reasons);
2 bad usage or input; 3 regression found; 4 cannot tell (only with compare --strict);
130 interrupted (everything finished is saved)
"""

_COMPARE_EPILOG = """\
with --fail-on-regression PCT each method is one of three, told on standard error:
  regression   its 95 % interval lies wholly beyond a loss of PCT: exit code 3
  not slower   its interval lies wholly within that loss: exit code 0
  cannot tell  neither: exit code 0, with --strict 4
A method that a session on either side lacks does not pass: exit code 1. Sessions
of another prompt, model, setting or CPU are refused: 2. An unchanged build
fails in at most 2.5 % of cases, all methods together, if speed varies from one
session to the next by no more than --run-noise; four sessions or more show
themselves how it varies. Measure both sides in turns (base, new, base, new, …):
what the machine did on one day only is not a regression.

  tuibench compare before last --fail-on-regression 5
  tuibench compare --base A1 A2 A3 --new B1 B2 B3 --fail-on-regression 5

exit codes: 0 compared, no regression seen; 1 a method is missing on one side;
2 bad usage or input; 3 regression found; 4 cannot tell, with --strict
"""


class _Parser(argparse.ArgumentParser):
    """Takes options only as they are spelt: `--method` is not `--methods`, nor whatever begins so tomorrow."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - handed on as they are
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse; what was typed may hold anything."""
        from tuibench.core.format import printable_line  # noqa: PLC0415 - not needed for --help

        super().error(printable_line(message))


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs. It knows their arguments, not their code: `--help` must be instant."""
    top = _Parser(
        prog="tuibench",
        description=tuibench.__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"tuibench {tuibench.__version__}")
    add_dashboard_arguments(top)
    top.set_defaults(verb="dashboard")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", description="without one, the dashboard opens")

    run = verbs.add_parser("run", help="measure without the dashboard", epilog=_EPILOG)
    add_run_arguments(run)
    run.set_defaults(verb="run")

    replay = verbs.add_parser("replay", help="show a stored session at its recorded speed")
    replay.add_argument(
        "session", type=session_name, metavar="SESSION", help="file, name or beginning of a name; `last` for the newest"
    )
    replay.add_argument("--speed", type=speed, default=1.0, metavar="X", help="2 is twice as fast (default: 1)")
    replay.add_argument("--plain", action="store_true", help="print lines instead of opening the dashboard")
    replay.set_defaults(verb="replay")

    compare = verbs.add_parser(
        "compare",
        help="compare methods and sessions, with intervals",
        epilog=_COMPARE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_compare_arguments(compare)
    compare.set_defaults(verb="compare")

    export = verbs.add_parser("export", help="write a session as a table, a page, a plot or for benchstat")
    add_export_arguments(export)
    export.set_defaults(verb="export")

    take = verbs.add_parser("take", help="make a folder that runs a method without tuibench")
    add_take_arguments(take)
    take.set_defaults(verb="take")

    sessions = verbs.add_parser("sessions", help="list, show, name, tag or remove stored sessions")
    sessions.add_argument("action", nargs="?", choices=("list", "show", "edit", "rm", "restore"), default="list")
    sessions.add_argument("session", nargs="?", type=session_name, metavar="SESSION")
    sessions.add_argument("--follow", action="store_true", help="with show: tell its trials as they are measured")
    sessions.add_argument("--name", type=words, metavar="NAME", help="with edit: another name")
    sessions.add_argument(
        "--tags", type=words, metavar="TAGS", help="with edit: tags instead of those it has, by blanks or commas"
    )
    sessions.add_argument("--note", type=words, metavar="TEXT", help="with edit: what to remember of it")
    sessions.add_argument("--format", choices=("table", "json", "jsonl"), default="table")
    sessions.set_defaults(verb="sessions")

    models = verbs.add_parser("models", help="list, pull or remove models in the cache")
    models.add_argument("action", nargs="?", choices=("list", "pull", "rm"), default="list")
    models.add_argument("model", nargs="?", type=model_name, metavar="MODEL")
    only = "with rm: only what methods made, of one model or all"
    models.add_argument("--artifacts", nargs="?", const=True, type=given, metavar="MODEL", help=only)
    models.set_defaults(verb="models")

    methods = verbs.add_parser("methods", help="list the methods that can be compared")
    methods.set_defaults(verb="methods")

    doctor = verbs.add_parser("doctor", help="tell what this machine is good for, and what would spoil a measurement")
    doctor.add_argument("--format", choices=("table", "json"), default="table")
    doctor.add_argument("--remeasure", action="store_true", help="measure the read bandwidth anew (three seconds)")
    doctor.set_defaults(verb="doctor")

    serve = verbs.add_parser("serve", help="the dashboard in a browser on this machine")
    serve.add_argument("--port", type=natural_int, default=8000, metavar="N", help="0 for any (default: 8000)")
    serve.set_defaults(verb="serve")
    return top


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    _write(errors="replace")  # help, too, in whatever encoding
    options = _parsed(arguments)
    if getattr(options, "format", "table") != "table":
        _write(encoding="utf-8")  # what programs read is UTF-8 wherever it goes
    if sys.stdout is None:  # closed by the shell: `tuibench methods >&-`
        return _refuse("standard output is closed; redirect it to a file or to /dev/null")
    try:
        code = _run(options)
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:  # a file of ours, not standard output
            raise
        # Python flushes once more at its end, which must not fail again.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _refuse(f"standard output takes no more ({error.strerror}); what was measured is saved in its session")
    return code


def _write(encoding: str | None = None, errors: str | None = None) -> None:
    """Set how text becomes bytes on standard output, where that is a stream of bytes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=encoding, errors=errors)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    top = parser()
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        known = [f"--{name.replace('_', '-')}" for name in vars(options)]
        near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
        top.error(f"unrecognized arguments: {' '.join(unknown)}{f'; did you mean {near[0]}?' if near else ''}")
    return options


def _refuse(reason: str) -> int:
    from tuibench.core.format import printable_line  # noqa: PLC0415 - not needed for --help

    with contextlib.suppress(OSError):  # the terminal is gone
        print(printable_line(f"tuibench: {reason}"), file=sys.stderr)
    return BAD_USAGE


def _run(options: argparse.Namespace) -> int:
    run: Callable[[argparse.Namespace], int] = import_module(f"tuibench.cli.{options.verb}").run
    try:
        return run(options)
    except UsageError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
