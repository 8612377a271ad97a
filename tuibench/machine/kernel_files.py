"""Files that the kernel writes while they are read; a dozen of them are read in every pause of a measurement."""

from __future__ import annotations

import os
from contextlib import suppress

_BYTES_AT_ONCE = 1 << 16


def read_now(path: str) -> str:
    """Return what a file says; nothing where it cannot be read. In a third of the time that `Path.read_text` takes."""
    parts = []
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while part := os.read(file, _BYTES_AT_ONCE):
                parts.append(part)
        finally:
            os.close(file)
    return b"".join(parts).decode(errors="replace")
