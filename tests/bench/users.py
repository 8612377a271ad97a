"""All sequences' decode speed of 1, 4 and 8 sequences, beside llama.cpp's own batches of the same weights.

    python -m tests.bench.users MODEL_DIR [--methods M,…] [--users 1,4,8] [--threads 2] [--rounds 9]

Each method is loaded in a process of its own; rounds are interleaved, one turn of a few steps a method, so that the
machine is the same for all. llama.cpp (`tuibench runtimes add llama-cpp`) is asked through its C interface, a
`llama_batch` with a sequence id for each token, flash attention and cache as it defaults; its F32 is a file that is
written for this. Both sides are asked for logits, not for a picked token. Printed are medians, and the ratios of
medians that are wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns, sleep

ROOT = Path(__file__).parents[2]
OURS = ("fused-fp32", "fused-int8", "fused-int4", "kv-cache", "onnx-fused", "int8-dynamic", "int4-onnx")
F32 = "llama-cpp-f32"
PEERS = (F32, "llama-cpp-q8_0", "llama-cpp-q4_0")
WANTED = (
    ("fused-fp32", F32, 1.5),
    ("fused-int8", "llama-cpp-q8_0", 1.5),
    ("fused-int4", "llama-cpp-q4_0", 1.3),
)
N_PROMPT, N_TURN = 64, 16
_QUIET_S = 0.3
"""Before each turn: the threads of the one before go on spinning for a while."""


def engine_of(method: str, folder: Path):
    from tuibench.methods import engine_class

    if method != F32:
        return engine_class(method)()
    from tuibench.engines.decoder.checkpoint import Checkpoint
    from tuibench.engines.decoder.read import read_decoder
    from tuibench.engines.runtimes.llama_cpp import gguf_file
    from tuibench.engines.runtimes.llama_cpp.engine import LlamaCppF16

    gguf_file.tensor_type = lambda *_, **__: "F32"  # no method asks for it

    class LlamaCppF32(LlamaCppF16):
        def prepare(self, model_dir, progress):  # noqa: ARG002
            decoder = read_decoder(model_dir)
            gguf_file.write_gguf(self._path(model_dir), decoder, Checkpoint(model_dir, decoder), "f16", lambda *_: None)
            return True

        def _path(self, model_dir):  # noqa: ARG002
            return folder / "f32.gguf"

    return LlamaCppF32()


def serve(method: str, model_dir: str, n_threads: int, folder: str) -> None:
    """Answer each line `N ROUND` with the nanoseconds of `N_TURN` steps of N sequences, or why there are none."""
    from tuibench.engines.base import BatchEngine

    engine = engine_of(method, Path(folder))
    engine.prepare(Path(model_dir), lambda *_: None)
    engine.load(Path(model_dir), n_threads, lambda *_: None)
    why = engine.why_alone if isinstance(engine, BatchEngine) else "one sequence a step"
    print(json.dumps({"why": why}), flush=True)
    for line in sys.stdin:
        n, turn = map(int, line.split())
        engine.begin_batch(n, N_PROMPT + N_TURN + 1)
        for each in range(n):
            engine.read_sequence(each, [(31 * place + 7 * each + turn) % 5000 + 100 for place in range(N_PROMPT)])
        everyone = range(n)
        engine.decode_batch(everyone, [101] * n)
        start_ns = perf_counter_ns()
        for step in range(N_TURN):
            engine.decode_batch(everyone, [200 + step + each for each in everyone])
        print(json.dumps(perf_counter_ns() - start_ns), flush=True)


class Contender:
    def __init__(self, method: str, arguments: list[str]):
        from tuibench.measure.process.interpreter import in_runtime

        self.method = method
        words = [sys.executable, "-m", "tests.bench.users", "--serve", method, *arguments]
        command, variables = in_runtime("llama-cpp-f16" if method == F32 else method, words)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._child = subprocess.Popen(command, **pipes, text=True, env=os.environ | variables, cwd=ROOT)
        if not (line := self._child.stdout.readline()):
            raise SystemExit(f"{method} did not start")
        self.why = json.loads(line)["why"]
        self.speeds_tps: dict[int, list[float]] = {}

    def turn(self, n: int, number: int) -> None:
        sleep(_QUIET_S)
        print(n, number, file=self._child.stdin, flush=True)
        took_ns = json.loads(self._child.stdout.readline())
        self.speeds_tps.setdefault(n, []).append(n * N_TURN * 1e9 / took_ns)

    def close(self) -> None:
        self._child.stdin.close()
        self._child.wait()


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        method, model_dir, n_threads, folder = sys.argv[2:]
        serve(method, model_dir, int(n_threads), folder)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir")
    parser.add_argument("--methods", default=",".join((*OURS, *PEERS)))
    parser.add_argument("--users", default="1,4,8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    counts = [int(each) for each in options.users.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(Path(options.model_dir).resolve()), str(options.threads), folder]
        contenders = [Contender(name, arguments) for name in options.methods.split(",")]
        measure(contenders, counts, options.rounds)


def measure(contenders: list[Contender], counts: list[int], n_rounds: int) -> None:
    for each in contenders:
        if each.why is not None:
            print(f"{each.method}: left out: {each.why}")
    taking = [each for each in contenders if each.why is None]
    for number in range(n_rounds):
        for n in counts:
            for each in taking if number % 2 == 0 else reversed(taking):
                each.turn(n, number)
    medians = {each.method: {n: statistics.median(each.speeds_tps[n]) for n in counts} for each in taking}
    for name, speeds in medians.items():
        print(f"{name:16}", *(f"{n} users {speed:8.1f} tok/s" for n, speed in speeds.items()), sep="  ")
    for ours, theirs, least in WANTED:
        if ours in medians and theirs in medians:
            ratios = (f"{n}: {medians[ours][n] / medians[theirs][n]:.2f} ×" for n in counts)
            print(f"{ours} over {theirs} (wanted for 8: {least} ×):", *ratios)
    for each in contenders:
        each.close()


if __name__ == "__main__":
    main()
