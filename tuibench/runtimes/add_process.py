"""An installation in a process of its own: for programs that must answer keys meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from tuibench.models.origin.pull_events import Pulled, PullEvent, PullFailed, PullProgress
from tuibench.runtimes.program import ProgramFailedError, said_by

_STEPS = {"Collecting": "downloading", "Downloading": "downloading", "Using": "downloading", "Installing": "installing"}
"""What pip says at the beginning of a line, and the step that it is at then."""


async def add_in_child(name: str, command: Sequence[str] = ()) -> AsyncGenerator[PullEvent, None]:
    """Install a runtime; the last event is `Pulled` or `PullFailed`.

    Closing the iterator ends the child and leaves nothing half installed. Wrap it in `contextlib.aclosing`.

    Args:
        name: Of the runtime.
        command: How to start the program, by default as this one runs.
    """
    try:
        async with aclosing(said_by(f"runtimes add {name}", ("runtimes", "add", name), command)) as lines:
            async for said in lines:
                if step := _step(said):
                    yield PullProgress(step, 0, None)
        yield Pulled(name)
    except ProgramFailedError as error:
        yield PullFailed(str(error))


def _step(said: str) -> str | None:
    """Return the step that a line tells of; None for what a program says between steps."""
    first, _, rest = said.partition(" ")
    if first in _STEPS:
        return _STEPS[first]
    return said if first in {"making", "trying", "waiting"} and rest else None
