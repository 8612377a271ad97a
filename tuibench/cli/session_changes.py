"""`tuibench sessions rm|restore|edit`: what changes the stored sessions, always in a way that can be taken back."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli import OK
from tuibench.cli.arguments import UsageError
from tuibench.core import format as fmt
from tuibench.store.annotations import annotate, tags_from
from tuibench.store.catalogue import find_session
from tuibench.store.imports import import_session
from tuibench.store.schema import Annotation, SessionError
from tuibench.store.session import load_header
from tuibench.store.trash import KEPT_S, delete, deleted, restore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path


def remove(name: str) -> int:
    """Put a session away.

    Raises:
        UsageError: There is no such session, or it cannot be moved.
    """
    path = _own(name)
    try:
        delete(path)
    except SessionError as error:
        raise UsageError(fmt.printable(str(error))) from error
    days = KEPT_S // 86400
    _say(f"removed {path}; `tuibench sessions restore {path.stem}` brings it back for {days} days")
    return OK


def import_files(names: Sequence[str]) -> int:
    """Take others' session files into one's own folder.

    Raises:
        UsageError: One of them is not a session; those before it are there.
    """
    folder = paths.sessions_dir()
    for name in names:
        try:
            found = import_session(paths.expanded(name), folder)
        except SessionError as error:
            raise UsageError(fmt.printable(str(error))) from error
        for problem in found.problems:
            _say(f"{name}: {problem}")
        _say(f"{name}: {'imported as' if found.new else 'is there already:'} {found.path.stem}")
    return OK


def bring_back(name: str | None) -> int:
    """Bring back a removed session, by default the last one.

    Raises:
        UsageError: None was removed that is called so, or its name is taken again.
    """
    found = [path for path in deleted(paths.sessions_dir()) if name is None or path.stem.startswith(name)]
    if not found:
        raise UsageError(fmt.printable(f"no session {name or ''} was removed".replace("  ", " ")))
    try:
        path = restore(found[0])
    except SessionError as error:
        raise UsageError(fmt.printable(str(error))) from error
    _say(f"{path} is back")
    return OK


def edit(options: argparse.Namespace) -> int:
    """Give a session a name, tags or a note.

    Raises:
        UsageError: Nothing is given, or it cannot be written.
    """
    if (options.name, options.tags, options.note) == (None, None, None):
        raise UsageError("nothing to change: give --name, --tags or --note")
    tags = None if options.tags is None else tags_from(options.tags)
    said = Annotation(name=options.name, tags=tags, note=options.note, written=datetime.now(UTC))
    path = _own(options.session)
    try:
        load_header(path)
        annotate(path, said)
    except SessionError as error:
        raise UsageError(fmt.printable(str(error))) from error
    _say(f"written into {path}")
    return OK


def _own(name: str) -> Path:
    try:
        return find_session(name, (paths.sessions_dir(),), index=paths.session_index())
    except SessionError as error:
        raise UsageError(fmt.printable(str(error))) from error


def _say(message: str) -> None:
    print(fmt.printable(message), file=sys.stderr)
