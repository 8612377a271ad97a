"""What a sweep costs beside what it measures: `python -m tests.bench.sweep_cost MODEL_DIR [-- ARGUMENTS OF RUN]`.

One run of 3 × 2 × 2 shapes and four methods, whose files are made before. Timed: prompts and steps of all measured
trials, as the session has them. Loading and the warm-up of each worker are told apart; what is left beside them is what
fills depths and what lies between turns. The goal is 1.15 of the timed windows, loading excluded.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns

from tuibench.store.session import load

SWEEP = (
    "--methods", "kv-cache,onnx-fused,int8-dynamic,fused-int8", "--prompt-tokens", "64,512,2048",
    "--depth", "0,1024", "--threads", "1,2", "--max-new-tokens", "64", "--trials", "1",
)  # fmt: skip


def run(model: Path, arguments: list[str]) -> tuple[float, Path]:
    """Return seconds from the command to its end, and the session."""
    folder = Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "tuibench", "run", "--model", str(model), "--no-quality", "--output", str(folder)]
    start_ns = perf_counter_ns()
    subprocess.run([*command, *arguments], stdout=subprocess.DEVNULL, check=True)
    (path,) = folder.glob("*.toml")
    return (perf_counter_ns() - start_ns) / 1e9, path


def main() -> None:
    own, _, passed_on = " ".join(sys.argv[1:]).partition(" -- ")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    model = parser.parse_args(own.split()).model
    arguments = passed_on.split() or list(SWEEP)
    methods = arguments[arguments.index("--methods") + 1]
    run(model, ["--methods", methods, "--trials", "1", "--max-new-tokens", "2"])  # makes their files
    whole_s, path = run(model, arguments)
    trials = load(path).trials
    timed_s, warmup_s = (
        sum((trial.ttft_ns or 0) + sum(trial.step_ns) for trial in trials if trial.warmup is warmup) / 1e9
        for warmup in (False, True)
    )
    load_s = sum(trial.load_ns or 0 for trial in trials) / 1e9
    n_failed = sum(trial.failed for trial in trials)
    print(f"{len(trials)} trials, {n_failed} failed: {whole_s:.1f} s, timed {timed_s:.1f} s")
    print(f"loading {load_s:.1f} s, warm-up {warmup_s:.1f} s")
    print(f"all but loading: {(whole_s - load_s) / timed_s:.3f} of what is timed")
    print(f"all but loading and warm-up: {(whole_s - load_s - warmup_s) / timed_s:.3f}")


if __name__ == "__main__":
    main()
