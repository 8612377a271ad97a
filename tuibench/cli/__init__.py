"""The command line: one module per verb, each imported when its verb is used."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from tuibench.cli.arguments import UsageError
from tuibench.cli.command_line import parsed

OK, SOME_FAILED, BAD_USAGE, REGRESSED, CANNOT_TELL, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    _write(errors="replace")  # help, too, in whatever encoding
    options = parsed(arguments)
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
        return _refuse(f"cannot write to standard output ({error.strerror}); what was measured is saved in its session")
    return code


def _write(encoding: str | None = None, errors: str | None = None) -> None:
    """Set how text becomes bytes on standard output, where that is a stream of bytes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=encoding, errors=errors)


def _refuse(reason: str) -> int:
    from tuibench.core.format import printable_line  # noqa: PLC0415 - not needed for --help

    with contextlib.suppress(OSError):  # the terminal is gone
        print(printable_line(f"tuibench: {reason}"), file=sys.stderr)
    return BAD_USAGE


def _run(options: argparse.Namespace) -> int:
    run: Callable[[argparse.Namespace], int] = import_module(f"tuibench.cli.{options.verb.replace('-', '_')}").run
    try:
        return run(options)
    except UsageError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
