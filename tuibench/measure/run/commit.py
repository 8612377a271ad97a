"""Which commit of tuibench runs: what its version number does not tell between two releases."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import tuibench

_PACKAGE = Path(tuibench.__file__).parent


def running_commit(package: Path = _PACKAGE) -> str | None:
    """Return the commit in 12 digits, with a `+` where files of it were changed since; None where nothing tells it.

    A checkout is asked of git, which takes some milliseconds; an installed package was told when it was built.

    Args:
        package: The package's folder.
    """
    if (package.parent / ".git").exists():
        return _checked_out(package.parent)
    try:
        return (package / "_commit").read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _checked_out(root: Path) -> str | None:
    """Return what git says of a checkout; it writes nothing, not even its index."""
    command = ["git", "-C", str(root), "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
