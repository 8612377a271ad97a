"""Which kernels ran, from ONNX Runtime's profile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec


class _Event(msgspec.Struct):
    name: str = ""
    ts: int = 0
    args: dict[str, msgspec.Raw] = {}


def executed_kernels(profile: Path) -> dict[str, int]:
    """Return how often each operator ran in the last run of a profile; the file is removed."""
    events = msgspec.json.decode(profile.read_bytes(), type=list[_Event])
    profile.unlink()
    last_run = max(event.ts for event in events if event.name == "model_run")
    kernels = [event for event in events if event.name.endswith("_kernel_time") and event.ts >= last_run]
    return dict(Counter(msgspec.json.decode(event.args["op_name"], type=str) for event in kernels))
