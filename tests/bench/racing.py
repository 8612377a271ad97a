"""What a race computes and paints: `python -m tests.bench.racing [SPEED]`.

Eight methods of 2,000 tokens each, 20 to 27 ms a token, in a 120×40 pseudo-terminal. CPU time of the process and bytes
written are taken from the first token to the last, several times over.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import msgspec
import psutil

from tests.bench.painting import NAMES, cpu_s
from tests.terminal import CTRL_Q, Terminal
from tests.ui.scripted import FINISHED, METHODS, Program, answering, session, trial
from tuibench.core.run.record import TrialRecord

N_TOKENS = 2000
N_RACES = 4


def long_session():
    """Return a session of eight methods whose texts agree."""
    records: list[TrialRecord] = [
        msgspec.structs.replace(
            trial(name, n_expected=N_TOKENS, base_ms=20 + number)[-1].record, index=0, finished=FINISHED
        )
        for number, name in enumerate(NAMES)
        if name != "baseline"
    ]
    records.append(msgspec.structs.replace(records[0], method="baseline"))
    stored = session(NAMES, n_trials=1)
    return msgspec.structs.replace(stored, trials=tuple(records))


def serve() -> None:
    """Be the dashboard in the pseudo-terminal, the race at its start."""
    base = METHODS["kv-cache"]
    program = Program(methods={name: msgspec.structs.replace(base, id=name) for name in NAMES})
    stored = long_session()
    program.services = answering(program.services, clock_s=time.monotonic, load_session=lambda _path: stored)
    program.app(open_session=Path("long.toml")).run()


def main() -> None:
    speed = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    terminal = Terminal([sys.executable, "-m", "tests.bench.racing", "--serve"])
    length_s = (N_TOKENS * 0.0285) / speed
    shares, rates = [], []
    try:
        terminal.wait_for("Compare")
        time.sleep(2)
        process = psutil.Process(terminal.child.pid)
        terminal.send("+" * speed.bit_length())
        for _ in range(N_RACES):
            terminal.send("0")
            time.sleep(0.5)
            n_bytes, before_s, started_s = terminal.n_bytes, cpu_s(process), time.perf_counter()
            terminal.send(" ")
            time.sleep(0.7 * length_s)
            wall_s = time.perf_counter() - started_s
            shares.append(100 * (cpu_s(process) - before_s) / wall_s)
            rates.append((terminal.n_bytes - n_bytes) / wall_s / 1e3)
            terminal.send(" ")
            time.sleep(0.3)
    finally:
        terminal.send(CTRL_Q)
        time.sleep(0.5)
        terminal.close()
    print(f"at {speed}×: CPU {statistics.median(shares):.0f} % of a core {[round(share) for share in shares]}")
    print(f"painted {statistics.median(rates):.1f} kB/s")


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
