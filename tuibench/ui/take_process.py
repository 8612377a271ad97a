"""`tuibench take` in a process of its own, as the dashboard follows it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path


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


async def take_in_child(request: TakeRequest, command: Sequence[str] = ()) -> AsyncGenerator[TakeEvent, None]:
    """Take a method home; the last event is `Taken` or `TakeFailed`.

    Closing the iterator ends the child in order: what it had written is removed. Wrap it in `contextlib.aclosing`.

    Args:
        request: What to take.
        command: How to start the program, by default as this one runs.
    """
    child = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-m", "tuibench")),
        *("take", request.method, "--model", request.model, "--session", str(request.session.absolute())),
        *("--calibration-ranges", request.calibration_ranges, "--output", str(request.folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stderr is not None  # noqa: S101 - it is a pipe
    said = ""
    try:
        async for line in child.stderr:
            said = line.decode(errors="replace").strip() or said
            yield TakeStep(said.removeprefix("tuibench: "))
        if await child.wait() == 0:
            yield Taken(request.folder)
        else:
            how = f"`tuibench take` ended with status {child.returncode}"
            yield TakeFailed(said.removeprefix("tuibench: ") or how)
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            await child.wait()
