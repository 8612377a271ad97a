"""What the kernel says of this process's memory."""

from __future__ import annotations

from pathlib import Path

from tuibench.core.events import Memory

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
