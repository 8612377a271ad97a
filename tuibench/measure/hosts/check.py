"""The self-test of a host: what a run there would meet, found out in seconds and with a remedy for each failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from tuibench.core import format as fmt
from tuibench.core.run.host import Host
from tuibench.measure.hosts.connection import Connection, DisconnectedError
from tuibench.measure.hosts.frames import FindModel, HostTold
from tuibench.measure.hosts.host import HostUnusableError
from tuibench.models.local import LocalModel

_LEAST_FREE_BYTES = 2 << 30
"""What methods make from a small model needs about so much."""
_ENDS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    found: str
    remedy: str | None = None
    """What to do about it; None where it is all right."""


async def checked(
    host: Host, model: LocalModel | None, n_threads: int | None, patience_s: float, tell: Callable[[str], None]
) -> AsyncGenerator[Check]:
    """Yield what is found, the first failure that nothing can be asked after last.

    Args:
        host: The machine.
        model: That a run would need there; None asks for none.
        n_threads: That a run would use; None for as many as suit it.
        patience_s: Longest wait for its first word.
        tell: Given what is waited for.
    """
    connection = Connection(host, tell)
    began_s = time.monotonic()
    try:
        try:
            told = await asyncio.wait_for(connection.open(), patience_s)
        except TimeoutError:
            remedy = "try its words by hand, or give a queue more time with --timeout"
            yield Check("reached", f"no word within {patience_s:g} s", remedy)
            return
        except HostUnusableError as error:
            found, _, remedy = str(error).removeprefix(f"{host.name}: ").rpartition("; ")
            yield Check("reached", found, remedy)
            return
        yield Check("reached", f"after {time.monotonic() - began_s:.1f} s, tuibench {told.tuibench_version}")
        for found_out in (_cpus(told, n_threads), _disk(told)):
            yield found_out
        if model is not None:
            yield await _model(connection, model, host)
        yield await _end(connection)
    finally:
        await connection.close()


def _cpus(told: HostTold, n_threads: int | None) -> Check:
    cpus = told.cpus
    quota = f", quota {cpus.quota:.3g} CPUs" if cpus.quota is not None else ""
    found = f"{cpus.n_allowed} of {cpus.n_machine} allowed, {fmt.counted(cpus.n_cores, 'core')}{quota}"
    asked = n_threads or cpus.n_threads
    doubt = cpus.doubt(asked)
    if doubt is not None:
        return Check("CPUs", f"{found}: {doubt[0]}", "ask for fewer threads, or have the launcher give more CPUs")
    if n_threads is None and cpus.n_allowed < cpus.n_machine and cpus.n_threads == 1:
        return Check("CPUs", found, "only one is given: if that is not meant, see the launcher's options (srun: -c N)")
    return Check("CPUs", f"{found}; {fmt.counted(asked, 'thread')}")


def _disk(told: HostTold) -> Check:
    free = told.cache_free_bytes
    if free is None:
        return Check("disk", "room not known")
    remedy = None if free >= _LEAST_FREE_BYTES else "free some space there, or set TUIBENCH_CACHE in the host's env"
    return Check("disk", f"{fmt.size(free)} free", remedy)


async def _model(connection: Connection, model: LocalModel, host: Host) -> Check:
    def question(number: int) -> FindModel:
        return FindModel(question=number, name=model.name, digest=model.digest)

    try:
        await connection.ask(question, str)
    except HostUnusableError as error:
        return Check("model", str(error), f"`tuibench hosts prepare {host.name}` brings it there")
    except DisconnectedError as error:
        return Check("model", str(error), "check again")
    return Check("model", f"{model.name}, the same weights (SHA-256 {model.digest[:12]})")


async def _end(connection: Connection) -> Check:
    """See that the far end ends when its input does, as it must where the launcher leaves processes behind."""
    began_s = time.monotonic()
    ended = await connection.end_of_input(_ENDS_WITHIN_S)
    if not ended:
        return Check(
            "end", "goes on when its input ends", "the launcher does not pass that on: kubectl and docker need -i"
        )
    return Check("end", f"ends with its input, after {time.monotonic() - began_s:.1f} s")
