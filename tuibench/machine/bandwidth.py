"""The read bandwidth of this machine, measured in a process of its own and remembered for the day."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import psutil

from tuibench import paths
from tuibench.core import format as fmt
from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.machine.validity import doubts_between
from tuibench.machine.cgroup import memory_limit_bytes, own_groups
from tuibench.machine.conditions import read_conditions
from tuibench.machine.fingerprint import machine_header

PROBE_COMMAND = (sys.executable, "-m", "tuibench.worker.read_bandwidth")
_PATIENCE_S = 60
_ATTEMPTS = 2
_LEAST_BYTES = 512 << 20
_TIMES_CACHE = 4
"""A buffer this much larger than the caches in use leaves nothing there between two passes…"""
_LEAST_TIMES_CACHE = 2
"""…and one smaller than this is read from them in part."""
_MEMORY_SHARE = 4
"""…but it takes no more than this part of the memory that is free."""


class BandwidthError(Exception):
    """The bandwidth could not be measured; the message says why."""


class _Known(msgspec.Struct, frozen=True):
    machine: str
    n_threads: int
    day: str
    read_bytes_per_s: int

    def is_about(self, machine: str, n_threads: int) -> bool:
        return (self.machine, self.n_threads) == (machine, n_threads)


class _Probed(msgspec.Struct, frozen=True):
    read_bytes_per_s: int
    cpu_ns: int


async def read_bandwidth(n_threads: int, *, again: bool = False, command: Sequence[str] = PROBE_COMMAND) -> int:
    """Return how many bytes a second this machine reads with so many threads: today's measurement, or a new one.

    A new one takes about three seconds and disturbs whatever else runs. If something else disturbed it, it is repeated
    once, and the next call measures anew. The highest of the day counts: a disturbance only slows reading down.

    Args:
        n_threads: Threads that read, each a part of its own.
        again: Measure even if today's is known.
        command: How to start the measurement.

    Raises:
        BandwidthError: It could not be measured.
    """
    machine = machine_header()
    known = next((entry for entry in _todays() if entry.is_about(_key(machine), n_threads)), None)
    if known is not None and not again:
        return known.read_bytes_per_s
    found = known.read_bytes_per_s if known else 0
    for _ in range(_ATTEMPTS):
        read_bytes_per_s, disturbed = await _probe((*command, str(n_threads), str(buffer_bytes(machine, n_threads))))
        found = max(found, read_bytes_per_s)
        if not disturbed:
            remember(n_threads, found)
            break
    return found


def remember(n_threads: int, read_bytes_per_s: int) -> None:
    """Keep a measurement for today."""
    key = _key(machine_header())
    others = [entry for entry in _todays() if not entry.is_about(key, n_threads)]
    entries = [*others, _Known(key, n_threads, _today(), read_bytes_per_s)]
    path = paths.bandwidth_file()
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    # A cache that cannot be written costs three seconds next time, nothing else.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(entries))
        temporary.replace(path)


def buffer_bytes(machine: MachineHeader, n_threads: int) -> int:
    """Return how much memory to read: far more than the caches hold, and not more than can be spared.

    Raises:
        BandwidthError: What can be spared stays in the caches.
    """
    cached = machine.caches_in_use_bytes(n_threads) or 0
    limit = memory_limit_bytes(own_groups("memory"))
    free = psutil.virtual_memory().available
    spared = (free if limit is None else min(free, limit)) // _MEMORY_SHARE
    if spared < _LEAST_TIMES_CACHE * cached:
        raise BandwidthError(
            f"read bandwidth not measured: it takes {fmt.size(_LEAST_TIMES_CACHE * cached * _MEMORY_SHARE)} of free "
            f"memory to read past caches of {fmt.size(cached)}"
        )
    return min(max(_LEAST_BYTES, _TIMES_CACHE * cached), spared)


async def _probe(command: Sequence[str]) -> tuple[int, bool]:
    """Return the bandwidth, and whether other processes, or the host's other guests, took part of the machine."""
    before = replace(read_conditions(), worker_ns=0)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # NumPy's own pool has nothing to do here
            start_new_session=True,
        )
    except OSError as error:
        raise BandwidthError(f"read bandwidth could not be measured: {error.strerror}: {error.filename}") from error
    try:
        answer, complaint = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
    except TimeoutError:
        raise BandwidthError(f"read bandwidth: no answer within {_PATIENCE_S} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        probed = msgspec.json.decode(answer, type=_Probed)
    except msgspec.DecodeError:
        said = complaint.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"exit code {process.returncode}"
        raise BandwidthError(f"read bandwidth could not be measured: {why}") from None
    return probed.read_bytes_per_s, bool(doubts_between(before, replace(read_conditions(), worker_ns=probed.cpu_ns)))


def _key(machine: MachineHeader) -> str:
    """Return a digest of what the bandwidth depends on."""
    parts = (
        machine.cpu,
        machine.n_cpus_effective,
        sorted(machine.caches.items()),
        machine.n_last_caches,
        machine.memory_bytes,
        machine.kernel,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _todays() -> list[_Known]:
    try:
        entries = msgspec.json.decode(paths.bandwidth_file().read_bytes(), type=list[_Known])
    except (OSError, msgspec.DecodeError):  # never measured, or by another version: it is measured anew
        return []
    return [entry for entry in entries if entry.day == _today()]
