"""A/A: the same method against itself must be called "no difference".

    python -m tests.campaigns.aa_series                    # simulated trials, a minute
    python -m tests.campaigns.aa_series --real 20 MODEL    # real runs of one method under two names

Simulated machines: log-normal noise; rare interruptions; slow drift; a step in the middle; noise that is correlated
from trial to trial. Trials are taken in the order of a real run (A B B A A B …).
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.scripted import FINISHED
from tests.scripted_methods import install
from tuibench.core.results.comparison import compare
from tuibench.core.results.measured_run import MeasuredRun
from tuibench.core.results.stopping import precise_enough
from tuibench.core.run.plan import trial_order
from tuibench.core.run.record import TrialRecord
from tuibench.core.statistics.stats import Outcome, estimate, ratio_of_medians
from tuibench.store.export.facts import measured_run
from tuibench.store.session import load

Machine = Callable[[random.Random, int], list[float]]
"""Given a number of trials, the relative speed at each of them."""


def lognormal(source, n):
    return [source.lognormvariate(0, 0.03) for _ in range(n)]


def interrupted(source, n):
    return [
        source.lognormvariate(0, 0.01) * (1 / (1 + source.expovariate(5)) if source.random() < 0.15 else 1)
        for _ in range(n)
    ]


def drifting(source, n):
    return [source.lognormvariate(0, 0.02) * (1 - 0.2 * i / n) for i in range(n)]


def stepping(source, n):
    at = source.randrange(n)
    return [source.lognormvariate(0, 0.02) * (0.75 if i >= at else 1) for i in range(n)]


def correlated(source, n):
    state, speeds = 0.0, []
    for _ in range(n):
        state = 0.6 * state + source.gauss(0, 0.02)
        speeds.append(1 + state + source.gauss(0, 0.01))
    return speeds


MACHINES = (lognormal, interrupted, drifting, stepping, correlated)


def simulated_run(machine, n_trials, source, methods=("a", "b")):
    """Return a run of methods that are equally fast."""
    turns = trial_order(methods, n_trials)
    speeds = machine(source, len(turns))
    trials = [trial(turn.method, turn.index, 20 * speed) for turn, speed in zip(turns, speeds, strict=True)]
    return MeasuredRun("a/a", tuple(methods), tuple(trials))


def trial(method, index, tps):
    return TrialRecord(method=method, index=index, step_ns=(round(1e9 / tps),), token_ids=(1, 2), finished=FINISHED)


def false_positives(machine, n_trials, n_comparisons, seed=0):
    """Return in how many of the comparisons a difference was found where there is none."""
    source = random.Random(seed)
    return sum(differs(simulated_run(machine, n_trials, source)) for _ in range(n_comparisons))


def differs(run):
    row = compare([run], parents={"b": "a", "a": None}).row(0, "b")
    return row.step.ratio.outcome in {Outcome.GREATER, Outcome.LESS}


def false_positives_between_runs(machine, n_trials, n_comparisons, seed=0):
    source = random.Random(seed)
    outcomes = [
        ratio_of_medians(machine(source, n_trials), machine(source, n_trials)).outcome for _ in range(n_comparisons)
    ]
    return sum(outcome in {Outcome.GREATER, Outcome.LESS} for outcome in outcomes)


def coverage_after_stopping(precision, n_runs, seed=0, n_most=30):
    """Return the share of intervals that hold the truth where measuring stopped, and the mean number of trials."""
    source = random.Random(seed)
    held = total = 0
    for _ in range(n_runs):
        speeds_tps = []
        while len(speeds_tps) < 3 or (len(speeds_tps) < n_most and not precise_enough(speeds_tps, precision=precision)):
            speeds_tps.append(20 * source.lognormvariate(0, 0.03))
        found = estimate(speeds_tps)
        held += found.low <= 20 <= found.high
        total += len(speeds_tps)
    return held / n_runs, total / n_runs


def simulate(n_comparisons, seed=0):
    print(f"differences found in {n_comparisons} comparisons of equals, per cent (5 is allowed)")
    print("machine         trials   within a run   between runs")
    for machine in MACHINES:
        for n_trials in (3, 5, 7, 10, 30):
            within = 100 * false_positives(machine, n_trials, n_comparisons, seed) / n_comparisons
            between = 100 * false_positives_between_runs(machine, n_trials, n_comparisons, seed) / n_comparisons
            print(f"{machine.__name__:15} {n_trials:6} {within:14.1f} {between:14.1f}", flush=True)
    print("\nintervals that hold the true median where the stop rule ended, noise 3 %")
    for precision in (0.1, 0.05, 0.02):
        held, n_trials = coverage_after_stopping(precision, n_comparisons, seed)
        print(f"precision {precision:.0%}: {held:.1%} after {n_trials:.1f} trials on average")


_TWIN = """\
import msgspec
from {module} import {name}
class Twin({name}):
    method = msgspec.structs.replace({name}.method, id={name}.method.id + "-again", parent={name}.method.id)
"""


def real(n_comparisons, model, method, n_trials, n_tokens):
    """Measure one method against itself, in processes of their own, under a second name that a plug-in provides."""
    found = dict.fromkeys(Outcome, 0)
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([install_twin(Path(folder), method), str(Path.cwd())]),
        }
        twin = f"{method}-again"
        for number in range(n_comparisons):
            command = [
                sys.executable, "-m", "tuibench", "run", "--model", model, "--methods", f"{method},{twin}",
                "--trials", str(n_trials), "--max-new-tokens", str(n_tokens), "--output", folder, "--threads", "1",
                "--no-quality",
            ]  # fmt: skip
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            run = measured_run(load(Path(done.stderr.splitlines()[-1])))
            ratio = compare([run], parents={twin: method}).row(0, twin).step.ratio
            found[ratio.outcome] += 1
            print(f"{number + 1:3}: {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] {ratio.outcome}", flush=True)
    print(", ".join(f"{outcome}: {n}" for outcome, n in found.items()))


def install_twin(folder, method):
    """Write a package that offers `method` a second time, as any third party would; return its folder."""
    from tuibench.methods import engine_class

    engine = engine_class(method)
    (folder / "aa_twin.py").write_text(_TWIN.format(module=engine.__module__, name=engine.__name__))
    install(folder, "aa_twin", {f"{method}-again": "aa_twin:Twin"})
    return str(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000, help="simulated comparisons per machine and length")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated noise; the widths were chosen with 0")
    parser.add_argument("--real", type=int, metavar="N", help="so many real comparisons instead")
    parser.add_argument("model", nargs="?", help="folder or hub id, with --real")
    parser.add_argument("--method", default="kv-cache")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    if options.real and options.model:
        real(options.real, options.model, options.method, options.trials, options.tokens)
    else:
        simulate(options.comparisons, options.seed)


if __name__ == "__main__":
    main()
