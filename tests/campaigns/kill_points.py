"""Kill the writer of a session at random moments and look for lost records: `python -m tests.campaigns.kill_points`.

A child process appends trials to one session file and acknowledges each when `append` has returned. It is killed by
SIGKILL after a random time; the file is loaded, before and after; then the next child goes on with the same file, as
`--resume` does. A record is lost if it was acknowledged and is not in the file, or was there and is no more.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from tests.scripted import FINISHED, header, record
from tuibench.store import append
from tuibench.store.schema import Resumption
from tuibench.store.session import load, whole_bytes
from tuibench.store.writer import SessionWriter

_LONGEST_S = 0.02
_SIZES = (1, 10, 100)


@dataclass
class Report:
    """What came of it."""

    n_kills: int = 0
    n_acknowledged: int = 0
    n_unacknowledged: int = 0
    """Records that were in the file although the writer was killed before it could say so."""
    n_lost: int = 0
    n_halves: int = 0
    """Times that half a table was left."""
    n_loads: int = 0

    def __str__(self):
        return (
            f"{self.n_kills} kill points, {self.n_loads} loads, {self.n_acknowledged} records acknowledged: "
            f"{self.n_lost} lost; {self.n_unacknowledged} saved without acknowledgement, {self.n_halves} half tables"
        )


def kill_points(n_kills: int, path: Path, seed: int = 0) -> Report:
    """Kill `n_kills` writers of one file, one after the other."""
    rng, report, n_known = random.Random(seed), Report(), 0
    while report.n_kills < n_kills:
        child, acknowledgements = _start(path, n_known, rng)
        os.read(acknowledgements, 1)  # it is about to write
        wait_s = rng.uniform(0, _LONGEST_S)
        started_s = time.monotonic()
        if path.exists() and rng.random() < 0.5:  # while it is written to
            report.n_loads += 1
            report.n_lost += max(0, n_known - len(load(path).trials))
        time.sleep(max(0.0, wait_s - (time.monotonic() - started_s)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        n_acknowledged = len(_drained(acknowledgements))
        report.n_kills += 1
        report.n_acknowledged += n_acknowledged
        n_known = _check(path, n_known, n_acknowledged, report)
    return report


def _check(path: Path, n_before: int, n_acknowledged: int, report: Report) -> int:
    """Return how many records the file holds now."""
    if not path.exists():
        report.n_lost += n_before + n_acknowledged
        return 0
    session = load(path)
    report.n_loads += 1
    indices = [trial.index for trial in session.trials]
    expected = n_before + n_acknowledged
    report.n_lost += max(0, expected - len(indices)) + (indices != list(range(len(indices))))
    report.n_unacknowledged += max(0, len(indices) - expected)
    n_whole = whole_bytes(path)
    if n_whole < path.stat().st_size:
        report.n_halves += 1
        os.truncate(path, n_whole)
    return len(indices)


def _start(path: Path, n_before: int, rng: random.Random) -> tuple[int, int]:
    reading, writing = os.pipe()
    seed = rng.random()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    if random.Random(seed).random() < 0.5:
        _write_in_pieces()
    _append_for_ever(path, n_before, random.Random(seed), writing)
    os._exit(1)


def _write_in_pieces() -> None:
    """Write as a slow or interrupted file system does, so that a kill can fall between two pieces of a table."""
    whole = os.write

    def piecewise(descriptor: int, content: bytes) -> int:
        time.sleep(0.0002)
        return whole(descriptor, bytes(content[:64]))

    append.os = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)} | {"write": piecewise})


def _append_for_ever(path: Path, n_before: int, rng: random.Random, acknowledgements: int) -> None:
    if path.exists():
        resumption = Resumption(n_trials=n_before, tuibench_version="0", resumed=FINISHED)
        writer = SessionWriter.reopen(path, header(), resumption)
    else:
        writer = SessionWriter(path, header())
    index = n_before
    os.write(acknowledgements, b"0")
    while True:
        n = rng.choice(_SIZES)
        tokens = tuple(range(n))
        writer.append(
            record("a", index=index, token_ids=tokens, step_ns=tokens[1:], piece_chars=(1,) * n, text="é" * n)
        )
        os.write(acknowledgements, b"1")
        index += 1


def _drained(pipe: int) -> bytes:
    parts = []
    while part := os.read(pipe, 1 << 16):
        parts.append(part)
    os.close(pipe)
    return b"".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Report()
        # Files of 10 kills: a file that grows without end would only test reading it.
        for number in range(-(-options.kills // 10)):
            n = min(10, options.kills - report.n_kills)
            part = kill_points(n, Path(folder) / f"{number}.toml", options.seed + number)
            for name, value in vars(part).items():
                setattr(report, name, getattr(report, name) + value)
    print(report)
    return int(report.n_lost > 0)


if __name__ == "__main__":
    sys.exit(main())
