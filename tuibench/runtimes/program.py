"""This program in a process of its own, followed by what it says: for a dashboard that must answer keys meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Sequence

_SPEAKER = "tuibench: "


class ProgramFailedError(Exception):
    """It did not do what was asked; the message is the last that it said, or its status."""


async def said_by(what: str, arguments: Sequence[str], command: Sequence[str] = ()) -> AsyncGenerator[str, None]:
    """Run the program, and yield the last that it said after each of its lines.

    Closing the iterator ends the child in order. Wrap it in `contextlib.aclosing`.

    Args:
        what: The verb, as it is named where it fails without a word.
        arguments: What the program is given, the verb included.
        command: How to start it, by default as this one runs.

    Raises:
        ProgramFailedError: It ended with another status than 0.
    """
    child = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-m", "tuibench")),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stderr is not None  # noqa: S101 - it is a pipe
    said = ""
    try:
        async for line in child.stderr:
            said = line.decode(errors="replace").strip().removeprefix(_SPEAKER) or said
            yield said
        if await child.wait() != 0:
            raise ProgramFailedError(said or f"`tuibench {what}` ended with status {child.returncode}")
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            await child.wait()
