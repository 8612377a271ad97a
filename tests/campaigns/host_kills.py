"""Cut runs on other machines off at random moments and look for what is lost: `python -m tests.campaigns.host_kills`.

    python -m tests.campaigns.host_kills [--kills 30] [--seed 0] [--launchers ssh,srun]

Each run measures a scripted method through sshd or Slurm on the loopback. After a random time this end, the launcher or
the worker there is killed by SIGKILL, in turns. A trial is lost if the run has told it (`--format jsonl`) and its
session does not hold it, before or after `--resume`; what still runs there after 10 s is left behind. Each run must be
whole after `--resume`. What was found stands in `host_kills.md`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil
import pytest

from tests.hosts.places import Place, Program
from tests.scripted_methods import provide, save_toy_model
from tests.slurm import Slurm
from tests.ssh_server import SshServer, free_port
from tuibench.models.folder import open_folder
from tuibench.store.session import load

VICTIMS = ("client", "launcher", "worker")
_N_TRIALS = 12
_LOOK_S = 0.2
"""Reading the environments of all processes takes a processor: more often, the runs themselves would wait for it."""
_LATE = 0.75
"""Share of the runs that are left alone until they have a first result."""
_LONGEST_S = 2.5
"""From then on, or from the victim's appearance: about as long as all trials take."""


@dataclass
class Count:
    """What came of the runs of one launcher whose one victim was killed."""

    kills: int = 0
    before_first_trial: int = 0
    """Kills before any trial was told."""
    told: int = 0
    """Trials that runs told before they ended."""
    lost: int = 0
    left_behind: int = 0
    """Runs of which processes were there after 10 s."""
    not_whole: int = 0
    """Runs that were not whole after they went on."""


def victim_of(program: Program, running, victim: str, deadline_s: float = 120.0) -> psutil.Process:
    """Return the process to kill, as soon as there is one."""
    began_s = time.monotonic()
    while True:
        found = []
        if victim == "client":
            found = [psutil.Process(running.pid)]
        elif victim == "launcher":
            found = psutil.Process(running.pid).children()
        else:
            found = [each for each in program.places[0].processes() if is_worker(each)]
        if found:
            return found[0]
        assert time.monotonic() - began_s < deadline_s, f"no {victim} to be killed"
        time.sleep(_LOOK_S)


def is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-1:] == ["tuibench.worker"]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def one_run(program: Program, victim: str, rng: random.Random, count: Count) -> None:
    words = (*program.run_words, "--on", "big", "--trials", str(_N_TRIALS), "--max-new-tokens", "10")
    running = program.start(*words, "--format", "jsonl")
    sessions = program.folder / "sessions"
    late = rng.random() < _LATE
    while late and running.poll() is None and not any(sessions.glob("*.toml")):
        time.sleep(0.02)
    target = victim_of(program, running, victim)
    time.sleep(rng.uniform(0, _LONGEST_S))
    if target.is_running():
        target.kill()
    out, _ = running.communicate(timeout=300)
    told = [json.loads(line) for line in out.splitlines() if line.endswith("}")]
    finished = {(trial["index"], trial.get("warmup", False)) for trial in told if trial.get("failure_kind") is None}
    _, alive = psutil.wait_procs(program.places[0].processes(), timeout=10)
    count.kills += 1
    count.before_first_trial += not finished
    count.told += len(finished)
    count.left_behind += bool(alive)
    paths = list(sessions.glob("*.toml"))
    if not paths:
        count.lost += len(finished)
        return
    (path,) = paths
    count.lost += len(finished - held(path))
    more = ("--model", program.run_words[2], "--no-quality", "--retry-failed")
    resumed = program.start("run", "--resume", path.stem, *more)
    resumed.communicate(timeout=300)
    whole = held(path)
    count.lost += len(finished - whole)
    count.not_whole += {index for index, warmup in whole if not warmup} != set(range(_N_TRIALS))
    path.unlink()


def held(path: Path) -> set[tuple[int, bool]]:
    return {(trial.index, trial.warmup) for trial in load(path).trials if not trial.failed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="for each launcher")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--launchers", default="ssh,srun")
    options = parser.parse_args()
    names = [field.name.replace("_", " ") for field in fields(Count)]
    print(f"| launcher | killed | {' | '.join(names)} |\n| --- | --- {'| --: ' * len(names)}|", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("TUIBENCH_CACHE", str(folder / "cache"))
        patch.setenv("TUIBENCH_LOCK", str(folder / "lock"))
        model = open_folder(save_toy_model(folder / "toy-model"))
        points = provide(folder / "installed") | {"TUIBENCH_TEST_STEP_S": "0.02"}
        for launcher in options.launchers.split(","):
            home = folder / launcher
            home.mkdir()
            far = SshServer(home) if launcher == "ssh" else Slurm(home, (free_port(), free_port()))
            words = far.launcher() if launcher == "ssh" else ["srun", "-n1", "-c1"]
            environment = {} if launcher == "ssh" else far.environment
            try:
                place = Place(home, "big", words, points)
                program = Program(home, model, [place], patch, points | environment, method="sound")
                counts = {victim: Count() for victim in VICTIMS}
                rng = random.Random(options.seed)
                for number in range(options.kills):
                    victim = VICTIMS[number % len(VICTIMS)]
                    one_run(program, victim, rng, counts[victim])
                    print(f"{launcher} {number + 1}: {victim} so far {counts[victim]}", file=sys.stderr, flush=True)
            finally:
                far.close()
            for victim, count in counts.items():
                print(f"| {launcher} | {victim} | {' | '.join(map(str, astuple(count)))} |", flush=True)
                bad += count.lost + count.left_behind + count.not_whole
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
