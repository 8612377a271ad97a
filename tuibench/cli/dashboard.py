"""`tuibench` without a verb: the dashboard."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli import OK
from tuibench.cli.arguments import UsageError
from tuibench.cli.temporary_cache import writable_cache
from tuibench.cli.terminal import color_system
from tuibench.config import load_config
from tuibench.core.format import printable_line

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(options: argparse.Namespace) -> int:
    """Open the dashboard."""
    with writable_cache():
        return open_dashboard(options)


def open_dashboard(options: argparse.Namespace, open_session: Path | None = None, speed: float | None = 1.0) -> int:
    """Open the dashboard, if this is a terminal that can show it.

    Args:
        options: Of the dashboard.
        open_session: What to show.
        speed: How fast to play it; None shows its results, or follows it while it is measured.

    Raises:
        UsageError: It is not.
    """
    # Textual draws on standard error, so that standard output stays free.
    in_browser = "TEXTUAL_DRIVER" in os.environ
    if not in_browser and not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("the dashboard needs a terminal; `tuibench run` measures without one")
    if not in_browser and os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError("this terminal (TERM=dumb) shows no dashboard; `tuibench run` measures without one")
    loaded = load_config(paths.config_file())
    for problem in loaded.problems:  # the dashboard says so too, but its notice goes
        print(printable_line(f"tuibench: {problem}"), file=sys.stderr)
    _choose_colours(options.color or loaded.config.color)
    from tuibench.models.local import DEFAULT_MODEL  # noqa: PLC0415
    from tuibench.ui.app import run_dashboard  # noqa: PLC0415 - Textual, after the environment is set

    code = run_dashboard(
        model=options.model or DEFAULT_MODEL,
        theme=options.theme,
        mouse=loaded.config.mouse and not options.no_mouse,
        low_bandwidth=loaded.config.low_bandwidth or options.low_bandwidth,
        open_session=open_session,
        replay_speed=speed if open_session else None,
        config=loaded,
    )
    return code or OK


def _choose_colours(wanted: str) -> None:
    """Tell Textual how many colours there are; it reads the environment once, when it is imported."""
    if wanted == "auto":
        os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", color_system(os.environ))
    else:
        os.environ["TEXTUAL_COLOR_SYSTEM"] = {"16": "standard"}.get(wanted, wanted)
