"""Sessions by the names that users give them. Needs no model library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli.arguments import UsageError
from tuibench.core.format import printable
from tuibench.store.catalogue import find_session
from tuibench.store.schema import SessionError
from tuibench.store.session import load

if TYPE_CHECKING:
    from pathlib import Path

    from tuibench.store.schema import Session


def session_folders() -> tuple[Path, Path]:
    """Return where sessions are looked for: the user's own, then the recorded samples."""
    return paths.sessions_dir(), paths.sample_sessions()


def open_session(name: str) -> tuple[Path, Session]:
    """Return a session's file and content; what could not be read of it is told on standard error.

    Raises:
        UsageError: There is no such session, or it cannot be read.
    """
    try:
        path = find_session(name, session_folders(), index=paths.session_index())
        session = load(path)
    except SessionError as error:
        raise UsageError(printable(str(error))) from error
    for problem in session.dropped:
        print(printable(f"{path}: {problem}"), file=sys.stderr)
    return path, session
