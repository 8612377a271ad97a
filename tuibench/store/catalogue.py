"""Which sessions there are, damaged ones included."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tuibench.core.format import as_text
from tuibench.core.results.metrics import DECODE, summarise
from tuibench.core.run.record import TrialRecord
from tuibench.paths import expanded
from tuibench.store.index import Facts, SessionIndex
from tuibench.store.schema import Annotation, Session, SessionError, SessionHeader
from tuibench.store.session import load_header, load_outline
from tuibench.store.shared_out import read_at_once

_SHOWN_PROMPT = 80
"""Characters; a list has no room for more."""


class _File(NamedTuple):
    path: str
    name: str
    facts: Facts


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
    tags: tuple[str, ...] = ()
    note: str = ""
    cpu: str = ""
    decode_tps: dict[str, float] = field(default_factory=dict)
    """Median of the measured trials, in a sweep of its first shape, by method; a method without any is not in it."""
    complete: bool = True
    """Whether the whole file was read; else there is only what its header says."""
    prompt: str = ""
    """Its first line, as much of it as a list shows."""
    unread: bool = False
    """Whether not even the header was read: there is only what the folder says, when it was changed last included."""

    @property
    def title(self) -> str:
        """What somebody knows it by: the name it was given, else what was asked."""
        named = self.name != as_text(self.path.stem)
        return self.name if named or not self.prompt else self.prompt

    @property
    def readable(self) -> bool:
        """Whether there is anything to open."""
        return self.created is not None

    @property
    def fastest(self) -> tuple[str, float] | None:
        """The method with the highest decode speed, and that speed; None where none was measured."""
        return max(self.decode_tps.items(), key=lambda measured: measured[1], default=None)


def list_sessions(
    folders: Iterable[Path],
    *,
    index: Path | None = None,
    n_read: int | None = None,
    n_headers: int | None = None,
    at_once: bool = False,
) -> list[SessionSummary]:
    """Return the sessions of these folders, newest first; a damaged file is listed with its problem.

    Args:
        folders: Where to look; those that do not exist are empty.
        index: A file that remembers what was read of each session, so that only new ones need to be read.
        n_read: How many files to read whole at most (2 ms each); of further ones only the header is read (0.4 ms).
        n_headers: How many headers to read at most, those of the files changed last; further ones stay unread.
        at_once: Read all files by several processes, see `shared_out`; not beside a measurement, which they would
            disturb.
    """
    known = SessionIndex(index, SessionSummary)
    found = _found(folders)
    if at_once:
        _read_at_once(found, known)
    sessions = []
    for file in found:
        summary = known.get(file.path, file.facts)
        if summary is None and n_read == 0 and n_headers == 0:
            summary = _unread(Path(file.path), file.facts)
        elif summary is None or (not summary.complete and n_read != 0):
            whole = n_read is None or n_read > 0
            if not whole and n_headers is not None:
                n_headers -= 1
            n_read = n_read - 1 if whole and n_read is not None else n_read
            read = _summary if whole else _header_only
            summary = known.put(file.path, file.facts, read(Path(file.path)))
        sessions.append(summary)
    known.save(keep={file.path for file in found})
    return sorted(sessions, key=_newest_first)


def _read_at_once(found: Iterable[_File], known: SessionIndex[SessionSummary]) -> None:
    remembered = {file: known.get(file.path, file.facts) for file in found}
    files = [file for file, summary in remembered.items() if summary is None or not summary.complete]
    read = read_at_once(_summary, [Path(file.path) for file in files], SessionSummary)
    for file, summary in zip(files, read, strict=True):
        known.put(file.path, file.facts, summary)


def _found(folders: Iterable[Path]) -> list[_File]:
    """Return the session files of these folders, those changed last first: what is looked for is mostly new."""
    found = _without_copies({real: file for folder in folders for real, file in _files(folder)})
    return sorted(found, key=lambda file: -file.facts.changed_ns)


def _without_copies(found: dict[str, _File]) -> list[_File]:
    """Return one of several equal files of one name, the last: a clone of the repository holds what is installed."""
    names = Counter(file.name for file in found.values())
    different: dict[object, _File] = {}
    for file in found.values():
        content: object = file.path
        if names[file.name] > 1:
            with suppress(OSError):  # gone meanwhile, or not for everybody to read
                content = file.name, Path(file.path).read_bytes()
        different[content] = file
    return list(different.values())


def _files(folder: Path) -> Iterator[tuple[str, _File]]:
    """Yield the session files of a folder, each with the path that it really has. A pipe or folder is none."""
    if not folder.is_dir():
        return
    real_folder = os.path.realpath(folder)
    with suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".toml"):
                continue
            try:
                status = entry.stat()
            except OSError:  # gone meanwhile, or a link to nowhere
                continue
            if stat.S_ISREG(status.st_mode):
                real = os.path.realpath(entry.path) if entry.is_symlink() else f"{real_folder}/{entry.name}"
                facts = Facts(status.st_mtime_ns, status.st_ctime_ns, status.st_size)
                yield real, _File(entry.path, entry.name, facts)


def _newest_first(session: SessionSummary) -> tuple[float, str]:
    return (-session.created.timestamp() if session.created else 0.0, session.path.name)


def _summary(path: Path) -> SessionSummary:
    try:
        session = load_outline(path)
    except SessionError as error:
        return _unreadable(path, error)
    return summarise_session(path, session)


def summarise_session(path: Path, session: Session) -> SessionSummary:
    """Return the line for a loaded session."""
    header, said = session.header, session.annotation or Annotation(written=session.header.created)
    measured = [trial for trial in session.trials if not trial.warmup and not trial.failed]
    sweep = header.settings.sweep
    shape = sweep.axes.shapes()[0] if sweep else None  # speeds of different shapes have no median
    of_methods: dict[str, list[TrialRecord]] = {method: [] for method in header.settings.methods}
    for trial in measured:
        if trial.method in of_methods and trial.shape == shape:
            of_methods[trial.method].append(trial)
    speeds = {method: summarise(DECODE, trials) for method, trials in of_methods.items()}
    return replace(
        _of_header(path, header),
        name=session.name or as_text(path.stem),
        n_trials=len(measured),
        problem="; ".join(session.dropped) or None,
        tags=said.tags or (),
        note=said.note or "",
        decode_tps={method: speed.median for method, speed in speeds.items() if speed is not None},
        complete=True,
    )


def _header_only(path: Path) -> SessionSummary:
    try:
        return _of_header(path, load_header(path))
    except SessionError as error:
        return _unreadable(path, error)


def _of_header(path: Path, header: SessionHeader) -> SessionSummary:
    return SessionSummary(
        path=path,
        name=header.name or as_text(path.stem),
        created=header.created,
        model=header.model.name,
        methods=header.settings.methods,
        n_trials=0,
        cpu=header.machine.cpu,
        prompt=_first_line(header.settings.prompt),
        complete=False,
    )


def _first_line(prompt: str) -> str:
    return next(iter(prompt.strip().splitlines()), "")[:_SHOWN_PROMPT]


def _unread(path: Path, facts: Facts) -> SessionSummary:
    changed = datetime.fromtimestamp(facts.changed_ns / 1e9, UTC)
    return SessionSummary(path, as_text(path.stem), changed, "", (), 0, complete=False, unread=True)


def _unreadable(path: Path, error: SessionError) -> SessionSummary:
    return SessionSummary(path, as_text(path.stem), None, "", (), 0, as_text(str(error)))


def find_session(name: str, folders: Collection[Path], *, index: Path | None = None) -> Path:
    """Return the file that a user means: a path, a file name or the beginning of one; `last` is the newest.

    Raises:
        SessionError: There is none, or several.
    """
    if (path := expanded(name)).is_file():
        return path
    if name == "last" and (known := list_sessions(folders, index=index, n_read=0)):
        return known[0].path
    found = _found(folders)
    exact = [file for file in found if file.name in {name, f"{name}.toml"}]
    matching = [Path(file.path) for file in exact or found if file.name.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise SessionError(f"{name}: no such session; `tuibench sessions list` shows what there is")
    raise SessionError(f"{name}: several sessions begin so: {', '.join(path.stem for path in matching)}")


def slug(text: str) -> str:
    """Return text as part of a file name: letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48]
