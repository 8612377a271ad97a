"""A pull in a process of its own: for programs that must stay small and answer keys meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from typing import IO

import msgspec

from tuibench import paths
from tuibench.models.origin.pull_events import Pulled, PullEvent, PullFailed, PullProgress, decode

__all__ = ["PullEvent", "PullFailed", "PullProgress", "Pulled", "pull_in_child"]

_LOG_TAIL_BYTES = 400


async def pull_in_child(name: str) -> AsyncGenerator[PullEvent, None]:
    """Pull a model; the last event is `Pulled` or `PullFailed`.

    Closing the iterator or cancelling its task kills the child and all that it started; what it had downloaded is used
    by the next pull. Wrap it in `contextlib.aclosing` to be sure of that when leaving early.
    """
    log_path = paths.logs_dir() / "pull.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("w+b") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tuibench.models.origin.pull", name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        ended = False
        try:
            async for line in child.stdout:
                event = _decode(line)
                ended = not isinstance(event, PullProgress)
                yield event
            if not ended:
                yield PullFailed(_why_it_ended(name, await child.wait(), log))
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()


def _decode(line: bytes) -> PullEvent:
    try:
        return decode(line)
    except msgspec.DecodeError:
        return PullFailed("the pull said something unintelligible; is another version of tuibench installed?")


def _why_it_ended(name: str, return_code: int, log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
    tail = log.read().decode(errors="replace").strip().splitlines()
    how = f"was killed by signal {-return_code}" if return_code < 0 else f"ended with status {return_code}"
    return f"the pull of {name} {how}" + (f": {tail[-1]}" if tail else "")
