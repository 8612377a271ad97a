"""What the kernel says of this process's memory."""

from __future__ import annotations

import resource
from pathlib import Path

from tuibench.core.run.events import Memory

_FIELDS = {"VmHWM": "peak_rss_bytes", "VmRSS": "rss_bytes", "RssAnon": "rss_anon_bytes", "RssFile": "rss_file_bytes"}
_STATUS = Path("/proc/self/status")


def own_memory() -> Memory:
    """Return this process's memory; every field None where there is no `/proc`."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return Memory()
    pairs = (line.split(":", 1) for line in lines)
    # "VmHWM:     8320 kB": the unit is always kB, and means 1024 bytes.
    return Memory(**{_FIELDS[key]: int(value.split()[0]) * 1024 for key, value in pairs if key in _FIELDS})


def peak_rss_bytes() -> int:
    """Return the high-water mark in about a microsecond, for use inside a measured interval.

    It is the same mark as `VmHWM`, except that the kernel counts in what the parent held when it started this process:
    with a parent larger than a loaded model, it is too high.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
