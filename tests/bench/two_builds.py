"""Decoding and first tokens of two builds, in turns within one run: is this one slower than an earlier one anywhere?

Usage: python -m tests.bench.two_builds OLD_PYTHON OLD_TREE MODEL_DIR [--methods IDS] [--threads N] [--turns N]

Each method runs in a process of each build, under its own interpreter; both read prompts of 64 and 512 tokens, and
decode a few tokens at a time in turns. Printed are the medians of both in milliseconds and the old one over the new:
above 1 the new build is faster. The goal of a change that should cost nothing is 0.97.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

METHODS = "kv-cache,onnx-fused,int8-dynamic,int8-static,int4-onnx,fused-fp32,fused-int8,fused-int4"
PROMPTS = (64, 512)
TURN_TOKENS = 8
_REST_S = 0.1
"""Threads of the other build may spin for 50 ms after a step."""
SERVE = """
import json, sys
from pathlib import Path
from time import perf_counter_ns
from tuibench.methods import engine_class
method, model, n_threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
quiet = lambda *_: None
engine = engine_class(method)()
if hasattr(engine, "calibrate_on"):
    try:
        from tuibench.core.run.spec import Calibration
    except ImportError:  # a build of before the rooms
        from tuibench.core.spec import Calibration
    engine.calibrate_on(Calibration())
engine.prepare(model, quiet)
engine.load(model, n_threads, quiet)
print("ready", flush=True)
for line in sys.stdin:
    prompt, n_tokens = json.loads(line)
    calls = [lambda: engine.prefill(list(range(10, 10 + prompt)), prompt + 400)] if prompt else []
    calls += [lambda: engine.decode(11)] * n_tokens
    taken = []
    for call in calls:
        start = perf_counter_ns()
        call()
        taken.append(perf_counter_ns() - start)
    print(json.dumps(taken), flush=True)
"""


class Build:
    """A process with one method of one build."""

    def __init__(self, python: str, tree: Path, cache: Path, method: str, model: str, n_threads: int) -> None:
        pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(n_threads))
        self._process = subprocess.Popen(
            [python, "-c", SERVE, method, model, str(n_threads)], cwd=tree, stdin=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=os.environ | pools | {"PYTHONPATH": str(tree), "TUIBENCH_CACHE": str(cache), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        while (line := self._process.stdout.readline()).strip() != "ready":  # what libraries print
            if not line:
                raise SystemExit(f"{tree}: {method} does not load")

    def ask(self, prompt: int, n_tokens: int) -> list[int]:
        """Return nanoseconds of a prompt, if there is one, and of each token after it."""
        time.sleep(_REST_S)
        self._process.stdin.write(json.dumps([prompt, n_tokens]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait()


def compare(method: str, builds: dict[str, tuple[str, Path, Path]], model: str, n_threads: int, turns: int) -> None:
    """Print the lines of one method."""
    sides = {name: Build(*build, method, model, n_threads) for name, build in builds.items()}
    taken: dict[str, dict[str, list[int]]] = {}
    for turn in range(turns):
        for name in sorted(sides, reverse=bool(turn % 2)):
            for prompt in PROMPTS if turn < max(3, turns // 8) else ():
                first, *_ = sides[name].ask(prompt, 0)
                taken.setdefault(f"first token after {prompt}", {}).setdefault(name, []).append(first)
            if turn == 0:
                sides[name].ask(PROMPTS[0], 2)
            taken.setdefault("decode", {}).setdefault(name, []).extend(sides[name].ask(0, TURN_TOKENS)[1:])
    for side in sides.values():
        side.close()
    for what, of_each in taken.items():
        old, new = (median(of_each[name]) / 1e6 for name in ("old", "new"))
        print(f"{method:14} {what:22} {old:9.2f} {new:9.2f} ms  {old / new:5.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="of an environment where the old tree is installed, and so its methods")
    parser.add_argument("old", type=Path)
    parser.add_argument("model")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--caches", type=Path, required=True, help="a folder; what is prepared stays there")
    options = parser.parse_args()
    new_tree = Path(__file__).resolve().parents[2]
    builds = {
        "old": (options.python, options.old.resolve(), options.caches / "old"),
        "new": (sys.executable, new_tree, options.caches / "new"),
    }
    for method in options.methods.split(","):
        compare(method, builds, options.model, options.threads, options.turns)


if __name__ == "__main__":
    main()
