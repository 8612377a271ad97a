"""How fast this machine reads memory: `python -m tuibench.worker.read_bandwidth THREADS BYTES` prints one JSON object.

Each thread reads a part of its own from start to end, from private memory in huge pages where the system gives them, as
the fused kernels read weights: what reads fastest is the roof that a decoder is measured against. NumPy's maximum of
8-bit integers, which does next to nothing with a byte beside reading it, reads once more without asking ahead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from threading import Thread
from time import perf_counter_ns, process_time_ns

import numpy as np
from numpy.typing import NDArray

from tuibench.engines.fused.kernels.stream import read_through
from tuibench.engines.fused.matrices import allocate

Part = NDArray[np.uint8]

_READ_NS = 350_000_000
"""Time given to each way of reading."""
_MIN_PASSES = 3


def main() -> None:
    """Measure, and print the best speed, as STREAM does: whatever disturbs a pass can only slow it down."""
    n_threads, n_bytes = int(sys.argv[1]), int(sys.argv[2])
    parts = [_touched(n_bytes // n_threads) for _ in range(n_threads)]
    read_through(parts[0][:0])  # compiled, or read from the cache
    speeds = [_bytes_per_s(parts, read) for read in (read_through, _largest_int8)]
    print(json.dumps({"read_bytes_per_s": round(max(speeds)), "cpu_ns": process_time_ns()}))  # noqa: T201 - the parent reads it


def _largest_int8(part: Part) -> None:
    part.view(np.int8).max()


def _touched(n_bytes: int) -> Part:
    """Return memory that is really there: a page never written to would be read from one shared page of zeros."""
    part = allocate((n_bytes,), np.uint8)
    part[:] = 0
    return part


def _bytes_per_s(parts: list[Part], read: Callable[[Part], object]) -> float:
    n_bytes = sum(part.nbytes for part in parts)
    spent_ns: list[int] = []
    while len(spent_ns) < _MIN_PASSES or sum(spent_ns) < _READ_NS:
        threads = [Thread(target=read, args=(part,)) for part in parts]
        start_ns = perf_counter_ns()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spent_ns.append(perf_counter_ns() - start_ns)
    return n_bytes * 1e9 / min(spent_ns)


if __name__ == "__main__":
    main()
