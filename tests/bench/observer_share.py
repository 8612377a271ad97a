"""What watching costs at a token rate: `python -m tests.bench.observer_share [TOKENS_PER_S …]`.

A worker that computes nothing gives tokens at each rate, watched once by `tuibench run`'s progress lines and once by
the dashboard in a 120×40 pseudo-terminal. What is printed is the share of the usable CPUs that the watching process
used inside the timed windows, which every session stores; the goal is 2 %.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.terminal import CTRL_Q, F5, Terminal
from tuibench.cli.progress import open_progress
from tuibench.core.results.observer import observer_share
from tuibench.core.run.spec import RunSpec
from tuibench.core.run.state import RunState, fold
from tuibench.machine.fingerprint import machine_header
from tuibench.measure.run.measurement import Measurement
from tuibench.models.local import LocalModel
from tuibench.store.session import load

WORKER = Path(__file__).with_name("paced_worker.py")
MODEL = LocalModel("paced", "paced", Path(), "00", 10, 40, "Paced", "F32", 8192)
SPEC = RunSpec(model="paced", methods=("baseline", "kv-cache"), prompt="p", n_trials=2, n_warmup=1)
N_TURNS = 4
TRIAL_S = 6


def paced(rate: float, sessions: Path, trial_s: float = TRIAL_S) -> Measurement:
    spec = msgspec.structs.replace(SPEC, max_new_tokens=round(rate * trial_s))
    return Measurement(spec, MODEL, sessions, worker_command=(sys.executable, str(WORKER), str(rate)))


async def headless(rate: float, sessions: Path) -> None:
    state = RunState()
    with open_progress() as progress:
        async for event in paced(rate, sessions).events():
            state = fold(state, event)
            progress.update(state, event)


def dashboard(rate: float, sessions: Path) -> None:
    program = [sys.executable, "-m", "tests.bench.observer_share", "--inside", str(rate), str(sessions)]
    terminal = Terminal(program)
    try:
        terminal.wait_for("palette")
        terminal.send("Hello")
        time.sleep(1)
        terminal.send(F5)
        deadline_s = time.monotonic() + N_TURNS * TRIAL_S * 3
        while len(trials(sessions)) < N_TURNS and time.monotonic() < deadline_s:
            time.sleep(1)
    finally:
        terminal.send(CTRL_Q)
        time.sleep(1)
        terminal.close()


def inside(rate: float, sessions: Path, trial_s: float = TRIAL_S) -> None:
    """Be the dashboard, as `tuibench` opens it, with the paced worker behind it."""
    from tuibench.ui.app import TuibenchApp
    from tuibench.ui.services import Services

    services = Services(measure=lambda *_: paced(rate, sessions, trial_s), find_model=lambda _: MODEL)
    TuibenchApp(model="paced", services=services).run()


def trials(sessions: Path):
    return [trial for path in sessions.glob("*.toml") for trial in load(path).trials if not trial.warmup]


def main() -> None:
    if "--inside" in sys.argv:
        os.environ.setdefault("TEXTUAL_FPS", "30")
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
        inside(float(sys.argv[2]), Path(sys.argv[3]), *map(float, sys.argv[4:]))
        return
    n_cpus = machine_header().capacity_cpus
    for rate in [float(text) for text in sys.argv[1:]] or [30.0, 120.0]:
        for watch in (lambda rate, sessions: asyncio.run(headless(rate, sessions)), dashboard):
            with tempfile.TemporaryDirectory() as folder:
                watch(rate, Path(folder))
                seen = trials(Path(folder))
                shares = [round(100 * (observer_share([trial], n_cpus) or 0), 2) for trial in seen]
                name = "dashboard" if watch is dashboard else "headless"
                share = observer_share(seen, n_cpus) or 0
                print(f"{rate:5.0f} tok/s  {name:10} {share:6.2%} of {n_cpus} CPUs; trials {shares}", flush=True)


if __name__ == "__main__":
    main()
