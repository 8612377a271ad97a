"""Which sessions there are, damaged ones included."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tuibench.store.schema import SessionError
from tuibench.store.session import load


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of a list of sessions."""

    path: Path
    name: str
    created: datetime | None
    model: str
    methods: tuple[str, ...]
    n_trials: int
    """Measured trials that succeeded."""
    problem: str | None = None
    """Why the file, or part of it, cannot be read."""


def list_sessions(folders: Iterable[Path]) -> list[SessionSummary]:
    """Return the sessions of these folders, newest first; a damaged file is listed with its problem."""
    found = {path.resolve(): path for folder in folders if folder.is_dir() for path in folder.glob("*.toml")}
    return sorted(map(_summary, found.values()), key=_newest_first)


def _newest_first(session: SessionSummary) -> tuple[float, str]:
    return (-session.created.timestamp() if session.created else 0.0, session.path.name)


def _summary(path: Path) -> SessionSummary:
    try:
        session = load(path)
    except SessionError as error:
        return SessionSummary(path, path.stem, None, "", (), 0, str(error))
    header = session.header
    return SessionSummary(
        path=path,
        name=header.name or path.stem,
        created=header.created,
        model=header.model.name,
        methods=header.settings.methods,
        n_trials=sum(not trial.warmup and not trial.failed for trial in session.trials),
        problem="; ".join(session.dropped) or None,
    )


def find_session(name: str, folders: Iterable[Path]) -> Path:
    """Return the file that a user means: a path, a file name or the beginning of one; `last` is the newest.

    Raises:
        SessionError: There is none, or several.
    """
    if Path(name).is_file():
        return Path(name)
    known = [session.path for session in list_sessions(folders)]
    if name == "last" and known:
        return known[0]
    exact = [path for path in known if name in (path.stem, path.name)]
    matching = exact or [path for path in known if path.name.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise SessionError(f"{name}: no such session; `tuibench sessions list` shows what there is")
    raise SessionError(f"{name}: several sessions begin so: {', '.join(path.stem for path in matching)}")


def slug(text: str) -> str:
    """Return text as part of a file name: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48]
