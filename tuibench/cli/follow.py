"""`tuibench sessions show --follow`: the trials of a session as they are added, until nobody measures it any more."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tuibench.core import format as fmt
from tuibench.core.results.metrics import DECODE, TTFT
from tuibench.store.session import load
from tuibench.store.under_way import is_measured

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tuibench.core.run.record import TrialRecord
    from tuibench.store.schema import Session

_POLL_S = 0.5


def follow(path: Path) -> Session:
    """Print one line for each trial, those that are there already first; return the session at its end.

    Raises:
        SessionError: The file is gone, or cannot be read.
    """
    told: set[tuple[str, int, bool, datetime]] = set()
    size = -1
    while True:
        over = not is_measured(path)  # asked first: what was written until then is told
        if size != (size := path.stat().st_size if path.exists() else 0):
            session = load(path)
            for record in sorted((*session.trials, *session.superseded), key=lambda record: record.finished):
                key = (record.method, record.index, record.warmup, record.finished)
                if key not in told:
                    told.add(key)
                    print(fmt.printable(_line(record)), flush=True)
        if over:
            print("it is no longer being measured", file=sys.stderr)
            return session
        time.sleep(_POLL_S)


def _line(record: TrialRecord) -> str:
    what = "warm-up" if record.warmup else f"trial {record.index + 1}"
    start = f"{record.finished:%H:%M:%S} {record.method} {what}: "
    if record.failed:
        return f"{start}failed: {record.failure_kind}: {record.failure_message}"
    ttft, decode = TTFT.compute(record), DECODE.compute(record)
    return f"{start}TTFT {fmt.duration(ttft)}, decode {fmt.rate(decode)}, {fmt.counted(record.n_gen, 'token')}"
