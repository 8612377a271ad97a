"""Where the time to a verdict goes, an old tree against this one, phase by phase, from the sessions' own records.

Usage: python -m tests.bench.time_to_verdict OLD_PYTHON OLD_TREE MODEL_DIR [--cold] [--rounds N] [-- ARGUMENTS OF RUN]

Both trees run in turns, each with its own cache: first with nothing prepared, then, unless `--cold`, with what that
run has left. What is left of the whole, beside the phases, is starting and checking workers, turns between methods, and
warm-up. `-- --methods all` measures everything; without it the default methods.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns

from tuibench.store.session import load

PHASES = ("prepare", "load", "timed", "quality")
NEW_TREE = Path(__file__).resolve().parents[2]


def run(python: str, tree: Path, cache: Path, model: Path, arguments: list[str]) -> dict[str, float]:
    """Return seconds by phase, and `whole`."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(tree), "TUIBENCH_CACHE": str(cache)}
        command = [python, "-m", "tuibench", "run", "--model", str(model), "--output", folder, *arguments]
        start_ns = perf_counter_ns()
        code = subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, check=False).returncode
        whole_ns = perf_counter_ns() - start_ns
        if code > 1:  # 1: some rows failed, which is told below
            sys.exit(f"{tree}: tuibench run ended with {code}")
        (path,) = Path(folder).glob("*.toml")
        session = load(path)
    for trial in session.trials:
        if trial.failure_message is not None:
            print(f"{tree.name}: {trial.method} failed: {trial.failure_message}", file=sys.stderr)
    spent_ns = {
        "prepare": sum(trial.prepare_ns or 0 for trial in session.trials),
        "load": sum(trial.load_ns or 0 for trial in session.trials),
        "timed": sum((trial.ttft_ns or 0) + sum(trial.step_ns) for trial in session.trials),
        "quality": sum(record.duration_ns or 0 for record in session.quality),
    }
    return {phase: ns / 1e9 for phase, ns in spent_ns.items()} | {"whole": whole_ns / 1e9}


def main() -> None:
    own, _, passed_on = " ".join(sys.argv[1:]).partition(" -- ")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="of an environment where the old tree is installed, and so its methods")
    parser.add_argument("old", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--cold", action="store_true", help="not with everything prepared")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(own.split())
    arguments = passed_on.split()
    builds = {"old": (options.python, options.old.resolve()), "new": (sys.executable, NEW_TREE)}
    model = options.model.resolve()
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as caches:
            for state in ("cold",) if options.cold else ("cold", "warm"):
                found = {name: run(*build, Path(caches) / name, model, arguments) for name, build in builds.items()}
                print(f"round {number + 1}: {state} cache, run {' '.join(arguments)}")
                for phase in (*PHASES, "whole"):
                    old, new = found["old"][phase], found["new"][phase]
                    ratio = f"{new / old:5.2f} of it" if old else ""
                    print(f"  {phase:8} {old:8.2f} s  {new:8.2f} s  {ratio}", flush=True)


if __name__ == "__main__":
    main()
