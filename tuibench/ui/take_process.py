"""`tuibench take` in a process of its own, as the dashboard follows it."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from tuibench.runtimes.program import ProgramFailedError, said_by


@dataclass(frozen=True, slots=True)
class TakeRequest:
    """Which method of which session goes into which folder."""

    method: str
    model: str
    """As the user names it."""
    session: Path
    """Whose figures the folder's README shows."""
    calibration_ranges: str
    folder: Path
    """Must not exist."""


@dataclass(frozen=True, slots=True)
class TakeStep:
    """What is being done."""

    label: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The folder is whole, and was tried."""

    folder: Path


@dataclass(frozen=True, slots=True)
class TakeFailed:
    """There is no folder; one sentence says why."""

    message: str


TakeEvent = TakeStep | Taken | TakeFailed


def free_folder(model: str, method: str) -> Path:
    """Return a folder under the current one that is free."""
    stem = re.sub(r"[^A-Za-z0-9_.+-]", "-", f"{Path(model).name}-{method}")
    numbered = (Path(stem if number == 1 else f"{stem}-{number}") for number in itertools.count(1))
    return next(folder for folder in numbered if not folder.exists() and not folder.is_symlink())


async def take_in_child(request: TakeRequest, command: Sequence[str] = ()) -> AsyncGenerator[TakeEvent, None]:
    """Take a method home; the last event is `Taken` or `TakeFailed`.

    Closing the iterator ends the child in order: what it had written is removed. Wrap it in `contextlib.aclosing`.

    Args:
        request: What to take.
        command: How to start the program, by default as this one runs.
    """
    arguments = (
        *("take", request.method, "--model", request.model, "--session", str(request.session.absolute())),
        *("--calibration-ranges", request.calibration_ranges, "--output", str(request.folder)),
    )
    try:
        async with aclosing(said_by("take", arguments, command)) as lines:
            async for said in lines:
                yield TakeStep(said)
        yield Taken(request.folder)
    except ProgramFailedError as error:
        yield TakeFailed(str(error))
