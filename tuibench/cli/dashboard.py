"""`tuibench` without a verb: the dashboard."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tuibench.cli import OK
from tuibench.cli.arguments import UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(options: argparse.Namespace) -> int:
    """Open the dashboard."""
    return open_dashboard(options)


def open_dashboard(options: argparse.Namespace, open_session: Path | None = None, speed: float = 1.0) -> int:
    """Open the dashboard, if this is a terminal that can show it.

    Raises:
        UsageError: It is not.
    """
    # Textual draws on standard error, so that standard output stays free.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("the dashboard needs a terminal; `tuibench run` measures without one")
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError("this terminal (TERM=dumb) shows no dashboard; `tuibench run` measures without one")
    if options.color:
        os.environ["TEXTUAL_COLOR_SYSTEM"] = {"16": "standard"}.get(options.color, options.color)  # before Textual
    from tuibench.models.local import DEFAULT_MODEL  # noqa: PLC0415
    from tuibench.ui.app import run_dashboard  # noqa: PLC0415 - Textual, after the environment is set

    code = run_dashboard(
        model=options.model or DEFAULT_MODEL,
        theme=options.theme,
        mouse=not options.no_mouse,
        low_bandwidth=options.low_bandwidth,
        open_session=open_session,
        replay=open_session is not None,
        speed=speed,
    )
    return code or OK
