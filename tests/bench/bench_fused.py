"""Fused methods against llama.cpp: the same weights, prompts and threads, in turns of a few tokens within one run.

Usage: python -m tests.bench.bench_fused MODEL_DIR PEER_PYTHON GGUF_DIR [--threads 1 2] [--prompts 64 512] [--context 2048]

PEER_PYTHON has llama-cpp-python installed; GGUF_DIR holds f32.gguf, q8_0.gguf and q4_0.gguf, made from MODEL_DIR with
llama.cpp's own quantiser. Both sides are asked for logits, not for a picked token. Medians of all turns; MBU is bytes of
weights and cache per token against the best read bandwidth seen between the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter_ns

PAIRS = {"fused-fp32": "f32", "fused-int8": "q8_0", "fused-int4": "q4_0"}
TURN_TOKENS = 16


class Ours:
    def __init__(self, model: str, n_threads: int, capacity: int):
        from tuibench.methods import engine_class

        directory, method = model.split("::")
        self._engine = engine_class(method)()
        self._engine.prepare(Path(directory), lambda *_: None)
        info = self._engine.load(Path(directory), n_threads, lambda *_: None)
        self.weight_bytes, self._capacity = info.weight_bytes, capacity

    def prefill(self, tokens):
        return self._engine.prefill(tokens, self._capacity)

    def decode(self, token):
        return self._engine.decode(token)


class LlamaCpp:
    def __init__(self, model: str, n_threads: int, capacity: int):
        import llama_cpp

        self._api = llama_cpp
        self._llama = llama_cpp.Llama(
            model,
            n_ctx=capacity,
            n_batch=512,
            n_ubatch=512,
            n_threads=n_threads,
            n_threads_batch=n_threads,
            verbose=False,
        )
        self.weight_bytes = llama_cpp.llama_model_size(self._llama.model)

    def prefill(self, tokens):
        self._api.llama_memory_clear(self._api.llama_get_memory(self._llama.ctx), True)
        for start in range(0, len(tokens), 512):
            logits = self._run(tokens[start : start + 512])
        return logits

    def decode(self, token):
        return self._run([token])

    def _run(self, tokens):
        array = (self._api.llama_token * len(tokens))(*tokens)
        if self._api.llama_decode(self._llama.ctx, self._api.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError("llama_decode failed")
        return self._api.llama_get_logits_ith(self._llama.ctx, -1)


def serve(side, model, n_threads, capacity):
    """Answer `{"prefill": ids}` and `{"decode": ids}` with nanoseconds for each call."""
    engine = side(model, n_threads, capacity)
    print(json.dumps({"weight_bytes": engine.weight_bytes}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        times = []
        calls = [request["prefill"]] if "prefill" in request else request["decode"]
        for call in calls:
            start = perf_counter_ns()
            (engine.prefill if "prefill" in request else engine.decode)(call)
            times.append(perf_counter_ns() - start)
        print(json.dumps(times), flush=True)


class Peer:
    def __init__(self, python, side, model, n_threads, capacity):
        arguments = [python, str(Path(__file__).resolve()), "--serve", side, model, str(n_threads), str(capacity)]
        threads = {
            name: str(n_threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        } | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | threads,
        )  # fmt: skip
        self.weight_bytes = json.loads(self._process.stdout.readline())["weight_bytes"]

    def ask(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def read_bandwidth(n_threads):
    """Return bytes per second of summing 256 MB, the best of three."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    data = np.ones(32_000_000, np.int64)
    parts = np.array_split(data, n_threads)
    best = 0.0
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(3):
            start = perf_counter_ns()
            list(pool.map(np.sum, parts))
            best = max(best, data.nbytes / (perf_counter_ns() - start) * 1e9)
    return best


def compare(options, method, n_threads):
    gguf = PAIRS[method]
    capacity = max([options.context + 64, *[n + options.turns * TURN_TOKENS + 64 for n in (64, *options.prompts)]])
    ours = Peer(sys.executable, "ours", f"{options.model}::{method}", n_threads, capacity)
    theirs = Peer(options.peer, "llama", str(Path(options.gguf) / f"{gguf}.gguf"), n_threads, capacity)
    sides = {"ours": ours, "llama.cpp": theirs}
    rng = random.Random(0)

    def tokens(n):
        return [rng.randrange(10, 40_000) for _ in range(n)]

    def report(label, taken):
        mine, other = (statistics.median(taken[name]) / 1e6 for name in sides)
        low = {
            name: statistics.quantiles(times, n=10)[0] / 1e6 if len(times) > 9 else min(times) / 1e6
            for name, times in taken.items()
        }
        print(
            f"{method:11} {n_threads} threads  {label:22} {mine:8.2f} ms  {gguf:5} {other:8.2f} ms  "
            f"ratio of medians {other / mine:5.2f}  of p10 {low['llama.cpp'] / low['ours']:5.2f}  (ours p10 {low['ours']:.2f})",
            flush=True,
        )
        return mine

    for n in options.prompts:
        taken = {name: [] for name in sides}
        for _ in range(options.prefills):
            prompt = tokens(n)
            for name, side in sides.items():
                taken[name] += side.ask({"prefill": prompt})
        report(f"prefill of {n}", taken)
    bandwidth = read_bandwidth(n_threads)
    for n in [64, options.context] if options.context else [64]:
        prompt = tokens(n)
        for side in sides.values():
            side.ask({"prefill": prompt})
        taken = {name: [] for name in sides}
        for _ in range(options.turns if n == 64 else min(options.turns, 3)):
            turn = tokens(TURN_TOKENS)
            for name, side in sides.items():
                taken[name] += side.ask({"decode": turn})[1:]
        mine = report(f"decode after {n}", taken)
        if n == 64:
            rate = ours.weight_bytes / mine * 1e3
            print(
                f"{'':11} {ours.weight_bytes / 1e6:.0f} MB a token, {rate / 1e9:.1f} GB/s = {rate / bandwidth:.0%} of {bandwidth / 1e9:.1f} GB/s"
            )
    for side in sides.values():
        side.close()


def main():
    if sys.argv[1:2] == ["--serve"]:
        side, model, n_threads, capacity = sys.argv[2:]
        serve({"ours": Ours, "llama": LlamaCpp}[side], model, int(n_threads), int(capacity))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("peer")
    parser.add_argument("gguf")
    parser.add_argument("--methods", nargs="+", default=list(PAIRS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--prompts", nargs="*", type=int, default=[64, 512])
    parser.add_argument("--prefills", type=int, default=5)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--context", type=int, default=2048)
    options = parser.parse_args()
    print("load average before:", os.getloadavg())
    for n_threads in options.threads:
        for method in options.methods:
            compare(options, method, n_threads)
    print("load average after:", os.getloadavg())


if __name__ == "__main__":
    main()
