"""Caches of programs that tests start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuibench.machine.bandwidth import remember
from tuibench.machine.effective_cpus import effective_cpus


def knowing_the_bandwidth(folder: Path) -> Path:
    """Return a cache, in which today's read bandwidth is known: to measure it takes each program three seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUIBENCH_CACHE", str(folder))
        for n_threads in {1, effective_cpus().n_threads}:
            remember(n_threads, 20_000_000_000)
    return folder
