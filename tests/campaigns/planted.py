"""Sharpness: a slowdown of 5 % that was planted, and a twin without one, found or not found by runs as users make them.

    python -m tests.campaigns.planted --runs 20 MODEL                    # about 4 minutes a run
    python -m tests.campaigns.planted --runs 8 --build before=FOLDER MODEL   # in turns with an older checkout
    python -m tests.campaigns.planted --components 3 MODEL               # where the noise comes from

On a quiet machine. Both methods wrap `kv-cache`, as a third party's package would; the slower one goes on for 5 % of
each step's time. Each run measures three methods, by default 5 trials of 48 tokens.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from statistics import fmean, median, variance

from tests.scripted_methods import install
from tuibench.core.results.comparison import compare
from tuibench.core.statistics.stats import Outcome
from tuibench.store.export.facts import measured_run
from tuibench.store.session import load

ROOT = Path(__file__).parents[2]
SLOWDOWN = 0.05
METHODS = ("kv-cache", "planted", "twin")
COMPONENT_METHODS = ("kv-cache", "onnx-fused", "fused-int8")
BLOCK = 16
"""Tokens whose mean is one observation within a trial."""
_ENGINES = f"""\
import time
import msgspec
from tuibench.methods import engine_class

KvCache = engine_class("kv-cache")

class Twin(KvCache):
    method = msgspec.structs.replace(KvCache.method, id="twin", parent="kv-cache")

class Planted(KvCache):
    method = msgspec.structs.replace(KvCache.method, id="planted", parent="kv-cache")

    def decode(self, token_id):
        began_ns = time.perf_counter_ns()
        logits = super().decode(token_id)
        until_ns = began_ns + round({1 + SLOWDOWN} * (time.perf_counter_ns() - began_ns))
        while time.perf_counter_ns() < until_ns:
            pass
        return logits
"""


@dataclass(frozen=True)
class Found:
    """What one run says of one method against `kv-cache`."""

    build: str
    method: str
    value: float
    low: float
    high: float
    outcome: str
    wall_s: float

    @property
    def half_width(self) -> float:
        """Half of the interval, as a fraction of the ratio."""
        return (self.high - self.low) / 2 / self.value


def session_of(build: Path, packages: Path, *arguments: str) -> tuple[Path, float]:
    """Run a build's `tuibench run`; return the session file and the seconds it took."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), str(build)])}
    command = [sys.executable, "-m", "tuibench", "run", "--no-quality", "--output", str(packages), *arguments]
    began_s = time.monotonic()
    done = subprocess.run(command, cwd=build, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return Path(done.stderr.splitlines()[-1]), time.monotonic() - began_s


def compared(build: str, path: Path, wall_s: float) -> list[Found]:
    """Return what a session says of the two methods."""
    comparison = compare([measured_run(load(path))], parents=dict.fromkeys(METHODS[1:], METHODS[0]))
    ratios = {method: comparison.row(0, method).step.ratio for method in METHODS[1:]}
    return [Found(build, name, r.value, r.low, r.high, str(r.outcome), wall_s) for name, r in ratios.items()]


def summary(found: list[Found]) -> str:
    """Return the table for the README."""
    lines = [
        "| build | runs | seconds a run | half-width, median | planted found | twin called different | twin's ratios |",
        "| --- | --: | --: | --: | --: | --: | --- |",
    ]
    for build in dict.fromkeys(each.build for each in found):
        ours = [each for each in found if each.build == build]
        planted, twin = ([each for each in ours if each.method == method] for method in METHODS[1:])
        n_found = sum(each.outcome == Outcome.LESS for each in planted)
        n_different = sum(each.outcome in {Outcome.LESS, Outcome.GREATER} for each in twin)
        ratios = [each.value for each in twin]
        lines.append(
            f"| {build} | {len(planted)} | {median(each.wall_s for each in ours):.0f}"
            f" | {median(each.half_width for each in ours):.2%} | {n_found} of {len(planted)}"
            f" | {n_different} of {len(twin)} | {min(ratios):.3f} to {max(ratios):.3f} |"
        )
    return "\n".join(lines)


def components(processes: list[list[list[float]]]) -> tuple[float, float, float]:
    """Return the standard deviations between processes, between trials of one, and within a trial.

    Nested analysis of variance, by the method of moments (Searle, Casella and McCulloch, Variance Components, 3.5).

    Args:
        processes: Observations of each trial of each process, as many everywhere.
    """
    means = [[fmean(trial) for trial in process] for process in processes]
    n_blocks, n_trials = len(processes[0][0]), len(processes[0])
    trials = [trial for process in processes for trial in process]
    within = fmean(variance(trial) for trial in trials)
    of_trials = fmean(variance(process) for process in means)
    of_processes = variance([fmean(process) for process in means])
    between_trials = max(0.0, of_trials - within / n_blocks)
    between_processes = max(0.0, of_processes - of_trials / n_trials)
    return between_processes**0.5, between_trials**0.5, within**0.5


def _blocks(step_ns: tuple[int, ...]) -> list[float]:
    gaps = step_ns[-(len(step_ns) // BLOCK) * BLOCK :]
    return [log(fmean(gaps[start : start + BLOCK])) for start in range(0, len(gaps), BLOCK)]


def print_components(n_processes: int, model: str, packages: Path) -> None:
    """Measure methods alone, several trials a process, and print the components, per cent of a step."""
    print(
        "| method | between processes | between trials of one | within a trial, 16 tokens |\n| --- | --: | --: | --: |"
    )
    options = ["--model", model, "--trials", "5", "--max-new-tokens", "97"]
    for method in COMPONENT_METHODS:
        paths = [session_of(ROOT, packages, "--methods", method, *options)[0] for _ in range(n_processes)]
        trials = [[t for t in load(path).trials if not t.warmup and not t.failed] for path in paths]
        found = components([[_blocks(trial.step_ns) for trial in process] for process in trials])
        print(f"| `{method}` | {' | '.join(f'{each:.1%}' for each in found)} |", flush=True)


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or hub id")
    parser.add_argument("--runs", type=int, default=20, help="of each build")
    parser.add_argument("--trials", default="5", help="of each method in a run")
    parser.add_argument("--build", action="append", default=[], metavar="NAME=FOLDER", help="another checkout")
    parser.add_argument("--components", type=int, metavar="N", help="instead: so many processes of each method alone")
    parser.add_argument("--raw", type=Path, help="a file for each comparison, one JSON object a line")
    options = parser.parse_args()
    builds = {"this": ROOT} | {
        name: Path(folder) for name, _, folder in (each.partition("=") for each in options.build)
    }
    arguments = ["--model", options.model, "--methods", ",".join(METHODS)]
    arguments += ["--trials", options.trials, "--max-new-tokens", "48"]
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "planted_methods.py").write_text(_ENGINES)
        install(Path(folder), "planted_methods", {"planted": "planted_methods:Planted", "twin": "planted_methods:Twin"})
        if options.components:
            print_components(options.components, options.model, Path(folder))
            return
        for _ in range(options.runs):
            for build, root in builds.items():
                new = compared(build, *session_of(root, Path(folder), *arguments))
                found += new
                lines = "".join(json.dumps(asdict(each)) + "\n" for each in new)
                print(lines, end="", file=sys.stderr, flush=True)
                if options.raw:
                    with options.raw.open("a") as file:
                        file.write(lines)
    print(summary(found))


if __name__ == "__main__":
    main()
