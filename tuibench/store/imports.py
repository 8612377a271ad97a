"""Others' session files, taken into one's own folder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tuibench.store.append import create
from tuibench.store.catalogue import slug
from tuibench.store.schema import SessionError
from tuibench.store.session import read, session_from


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file."""

    path: Path
    """Where it is now."""
    new: bool
    """Whether it was not there before."""
    problems: tuple[str, ...] = ()
    """What of it cannot be read."""


def import_session(source: Path, folder: Path) -> Imported:
    """Copy a session into a folder under its own name; nothing that is there is overwritten.

    Raises:
        SessionError: It is not a session, or the folder takes no more.
    """
    content = read(source)
    session = session_from(content, source)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise SessionError(f"{source}: not UTF-8 text (byte {error.start}), which no session of ours is") from error
    name = slug(session.header.id) or "session"  # somebody else wrote it: it may try to lead elsewhere
    for number in range(1, 1000):
        target = folder / f"{name}{f'-{number}' if number > 1 else ''}.toml"
        try:
            create(target, text)
        except FileExistsError:
            with suppress(OSError):
                if target.read_bytes() == content:
                    return Imported(target, new=False, problems=session.dropped)
        except OSError as error:
            raise SessionError(f"{target}: cannot be written: {error.strerror}") from error
        else:
            return Imported(target, new=True, problems=session.dropped)
    raise SessionError(f"{source}: there are too many sessions called {name} already")
