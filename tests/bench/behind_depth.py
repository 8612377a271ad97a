"""A prompt behind a filled cache: the prompt's kernels against steps of eight tokens, which short ones still take.

    python -m tests.bench.behind_depth MODEL_DIR [--methods fused-fp32,fused-int8] [--depths 512,2048] [--threads 2]

Both ways read the same tokens in turns; printed are medians and their ratio, from which prompt on the kernels pay.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from time import perf_counter_ns

from tuibench.engines.fused.session import MOST_AT_ONCE
from tuibench.methods import engine_class

PROMPTS = (12, 16, 32, 64, 256, 512)


def in_steps(session, token_ids) -> None:
    for start in range(0, len(token_ids), MOST_AT_ONCE):
        session.append(token_ids[start : start + MOST_AT_ONCE])


def at_once(session, token_ids) -> None:
    session.read(0, token_ids)


def timed_ns(session, way, depth: int, token_ids) -> int:
    assert session.keep(depth, depth + max(PROMPTS))
    start_ns = perf_counter_ns()
    way(session, token_ids)
    return perf_counter_ns() - start_ns


def measure(method: str, options: argparse.Namespace) -> None:
    engine = engine_class(method)()
    engine.prepare(options.model_dir, lambda *_: None)
    engine.load(options.model_dir, options.threads, lambda *_: None)
    session = engine._session
    for depth in map(int, options.depths.split(",")):
        engine.prefill([(31 * place) % 5000 + 100 for place in range(depth)], depth + max(PROMPTS))
        for n_tokens in PROMPTS:
            token_ids = [(17 * place) % 5000 + 100 for place in range(n_tokens)]
            times_ns: dict[str, list[int]] = {"steps": [], "at once": []}
            for number in range(options.rounds):
                ways = [("steps", in_steps), ("at once", at_once)]
                for name, way in ways if number % 2 == 0 else reversed(ways):
                    times_ns[name].append(timed_ns(session, way, depth, token_ids))
            steps_ms, once_ms = (statistics.median(each) / 1e6 for each in times_ns.values())
            print(
                f"{method:11} depth {depth:5} prompt {n_tokens:4}  steps {steps_ms:8.1f} ms  at once {once_ms:8.1f} ms"
                f"  {steps_ms / once_ms:.2f} ×",
                flush=True,
            )
    engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--methods", default="fused-fp32,fused-int8,fused-int4")
    parser.add_argument("--depths", default="512,2048")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for method in options.methods.split(","):
        measure(method, options)


if __name__ == "__main__":
    main()
