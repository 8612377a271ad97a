"""Entry of the program: the terminal's defaults, then the command line."""

from __future__ import annotations

import os
import sys


def _set_terminal_defaults() -> None:
    """Set what Textual reads once, at its import. What the user has set stays."""
    # 60 frames a second are too many for a connection; at 15, every twentieth key waited 130 ms for its repaint.
    os.environ.setdefault("TEXTUAL_FPS", "30")
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")


def main() -> int:
    """Run the command line and return the exit code."""
    _set_terminal_defaults()
    from tuibench.cli import main as run  # noqa: PLC0415 - after the environment is set

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
