"""`tuibench export`: one session in another format. Needs no model library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tuibench.cli import OK
from tuibench.cli.arguments import UsageError
from tuibench.cli.compared import compared
from tuibench.cli.stored import open_session
from tuibench.core import format as fmt
from tuibench.store.export.formats import exported
from tuibench.store.export.png import MissingExtraError

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Write the session to a file or to standard output."""
    if options.format == "png" and options.output is None and sys.stdout.isatty():
        raise UsageError("a terminal cannot show a picture: name a file with -o, or redirect standard output")
    try:
        content = exported(compared([open_session(options.session)]).comparison, options.format)
    except MissingExtraError as error:
        raise UsageError(str(error)) from error
    if options.output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return OK
    try:
        options.output.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{options.output}: cannot be written: {error.strerror}") from error
    print(fmt.printable(f"written: {options.output}"), file=sys.stderr)
    return OK
