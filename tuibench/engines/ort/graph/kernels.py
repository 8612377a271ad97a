"""Which kernels ran and how long each took, from ONNX Runtime's profile."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

import msgspec

_KERNEL = "_kernel_time"


class _Event(msgspec.Struct):
    name: str = ""
    ts: int = 0
    dur: int = 0
    args: dict[str, msgspec.Raw] = {}


class Kernel(NamedTuple):
    """One call of a kernel."""

    node: str
    operator: str
    duration_us: int


def read_profile(profile: Path) -> list[list[Kernel]]:
    """Return the kernels of each run, in the order of the runs; the file is removed."""
    events = msgspec.json.decode(profile.read_bytes(), type=list[_Event])
    profile.unlink()
    starts = sorted(event.ts for event in events if event.name == "model_run")
    runs: list[list[Kernel]] = [[] for _ in starts]
    for event in events:
        if event.name.endswith(_KERNEL):
            operator = msgspec.json.decode(event.args["op_name"], type=str)
            run = runs[bisect_right(starts, event.ts) - 1]
            run.append(Kernel(event.name.removesuffix(_KERNEL), operator, event.dur))
    return runs
