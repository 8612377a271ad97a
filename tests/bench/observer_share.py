"""What watching costs at a token rate: `python -m tests.bench.observer_share [--users N [--apart]] [TOKENS_PER_S …]`.

A worker that computes nothing gives tokens at each rate, watched once by `tuibench run`'s progress lines and once by
the dashboard in a 120×40 pseudo-terminal. What is printed is the share of the usable CPUs that the watching process
used inside the timed windows, which every session stores; the goal is 2 %. The rate is that of all users together,
whose tokens come from shared steps, or with `--apart` each by itself: `--users 8 100` and `--users 8 --apart 100`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.terminal import CTRL_Q, F5, Terminal
from tuibench.cli.progress import open_progress
from tuibench.core.results.observer import observer_share
from tuibench.core.run.shape import Sweep
from tuibench.core.run.spec import EvalText, RunSpec
from tuibench.machine.fingerprint import machine_header
from tuibench.measure.run.measurement import Measurement
from tuibench.models.local import LocalModel
from tuibench.store.session import load as load_session

WORKER = Path(__file__).with_name("paced_worker.py")
MODEL = LocalModel("paced", "paced", Path(), "00", 10, 40, "Paced", "F32", 8192)
SPEC = RunSpec(model="paced", methods=("baseline", "kv-cache"), prompt="p", n_trials=2, n_warmup=1)
FOX = "the quick brown fox " * 100
N_TURNS = 4
TRIAL_S = 6


@dataclass(frozen=True)
class Load:
    """What is watched."""

    rate: float
    """Tokens a second, of all users."""
    n_users: int = 1
    apart: bool = False
    trial_s: float = TRIAL_S

    @property
    def words(self) -> list[str]:
        """The same as a command line has it."""
        users = [f"--users={self.n_users}", *(["--apart"] if self.apart else [])]
        return [*users, f"--trial-s={self.trial_s}", str(self.rate)]


def paced(load: Load, sessions: Path) -> Measurement:
    n_new = round(load.rate * load.trial_s / load.n_users)
    spec = msgspec.structs.replace(SPEC, max_new_tokens=n_new)
    if load.n_users > 1:
        sweep = Sweep(prompt_tokens=(32,), max_new_tokens=(n_new,), n_threads=(1,), n_users=(load.n_users,))
        spec = msgspec.structs.replace(spec, sweep=sweep, running_text=EvalText(name="fox", text=FOX))
    command = [sys.executable, str(WORKER), str(load.rate), *(["apart"] if load.apart else [])]
    return Measurement(spec, MODEL, sessions, worker_command=tuple(command))


async def headless(load: Load, sessions: Path) -> None:
    with open_progress() as progress:
        async for event, state in paced(load, sessions).events():
            progress.update(state, event)


def dashboard(load: Load, sessions: Path) -> None:
    program = [sys.executable, "-m", "tests.bench.observer_share", *load.words, "--inside", str(sessions)]
    terminal = Terminal(program)
    try:
        terminal.wait_for("alette")
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


def inside(load: Load, sessions: Path) -> None:
    """Be the dashboard, as `tuibench` opens it, with the paced worker behind it."""
    from tests.ui.scripted import ScriptedServices
    from tuibench.ui.app import TuibenchApp

    services = ScriptedServices(measure=lambda *_: paced(load, sessions), find_model=lambda _: MODEL)
    TuibenchApp(model="paced", services=services).run()


def trials(sessions: Path):
    return [trial for path in sessions.glob("*.toml") for trial in load_session(path).trials if not trial.warmup]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", nargs="*", type=float, default=[30.0, 120.0])
    parser.add_argument("--users", type=int, default=1)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--trial-s", type=float, default=TRIAL_S)
    parser.add_argument("--inside", type=Path)
    asked = parser.parse_args()
    loads = [Load(rate, asked.users, asked.apart, asked.trial_s) for rate in asked.rates]
    if asked.inside is not None:
        os.environ.setdefault("TEXTUAL_FPS", "30")
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
        inside(loads[0], asked.inside)
        return
    n_cpus = machine_header().capacity_cpus
    for load in loads:
        for watch in (lambda load, sessions: asyncio.run(headless(load, sessions)), dashboard):
            with tempfile.TemporaryDirectory() as folder:
                watch(load, Path(folder))
                seen = trials(Path(folder))
                shares = [round(100 * (observer_share([trial], n_cpus) or 0), 2) for trial in seen]
                name = "dashboard" if watch is dashboard else "headless"
                share = observer_share(seen, n_cpus) or 0
                print(f"{load.rate:5.0f} tok/s  {name:10} {share:6.2%} of {n_cpus} CPUs; trials {shares}", flush=True)


if __name__ == "__main__":
    main()
