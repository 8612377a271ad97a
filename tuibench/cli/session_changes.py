"""`tuibench sessions rm|restore|edit`: what changes the stored sessions, always in a way that can be taken back."""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tuibench import paths
from tuibench.cli import OK
from tuibench.cli.arguments import UsageError
from tuibench.cli.run_hosts import settings_hosts
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

    from tuibench.core.run.host import Host


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


def import_sessions(names: Sequence[str]) -> int:
    """Take others' session files, or all that a host has finished, into one's own folder.

    Raises:
        UsageError: One of them is not a session, or a host cannot be reached; those before it are there.
    """
    folder = paths.sessions_dir()
    for name in names:
        if not paths.expanded(name).exists() and (host := settings_hosts().get(name)) is not None:
            _import_from(host, folder)
            continue
        try:
            found = import_session(paths.expanded(name), folder)
        except SessionError as error:
            raise UsageError(fmt.printable(str(error))) from error
        for problem in found.problems:
            _say(f"{name}: {problem}")
        _say(f"{name}: {'imported as' if found.new else 'is there already:'} {found.path.stem}")
    return OK


def _import_from(host: Host, folder: Path) -> None:
    from tuibench.measure.detached.far import reached  # noqa: PLC0415 - reads nothing of it otherwise
    from tuibench.measure.hosts.host import HostUnusableError  # noqa: PLC0415

    ours = {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.toml")}
    try:
        with reached(host) as far, TemporaryDirectory() as temporary:
            theirs = far.sessions()
            missing = [session for session in theirs if session.sha256 not in ours and not session.under_way]
            for session in missing:
                copy = Path(temporary) / Path(session.name).name
                copy.write_bytes(far.session(session.name))
                try:
                    found = import_session(copy, folder)
                except SessionError as error:
                    _say(f"{host.name}: {error}")
                else:
                    _say(f"{host.name}: {found.path.stem}")
    except HostUnusableError as error:
        raise UsageError(fmt.printable_line(str(error))) from error
    n_under_way = sum(session.under_way for session in theirs)
    n_known = len(theirs) - len(missing) - n_under_way
    _say(f"{host.name}: {len(missing)} imported, {n_known} there already, {n_under_way} still measured")


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
