"""What scoring a text costs beside a plain pass over it: `python -m tests.bench.quality_cost MODEL_DIR METHOD …`.

One process for each method. `plain` is the method's own pass over the same windows with nothing compared. Both are
timed by turns, after one of each that is not counted, and the medians compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from tuibench.core.run.events import QualityMeasured
from tuibench.core.run.spec import QualityRequest
from tuibench.machine.thread_pools import worker_environment
from tuibench.measure.run.evaluation_text import shipped_text
from tuibench.methods import engine_class
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.quality.windows import windows_of
from tuibench.worker.memory import own_memory
from tuibench.worker.score import score

MB = 1e6


def measure(model_dir: Path, method: str, n_threads: int, n_rounds: int):
    engine = engine_class(method)()
    engine.prepare(model_dir, lambda *_: None)
    info = engine.load(model_dir, n_threads, lambda *_: None)
    tokenizer = PromptTokenizer(model_dir)
    text = shipped_text().text
    windows = windows_of(tokenizer.encode(text, raw=True), opening=(), context_window=info.context_window)

    def plain_s():
        started_s = time.perf_counter()
        for window in windows.tokens:
            for _ in engine.score(window):
                pass
        return time.perf_counter() - started_s

    def scored():
        events = []
        request = QualityRequest(text=text, make_reference=method == "kv-cache")
        score(engine, tokenizer, model_dir, info.context_window, request, events.append)
        return next(event for event in events if isinstance(event, QualityMeasured))

    plain_s()
    before = own_memory()
    done = scored()
    rounds = [(scored().duration_ns / 1e9, plain_s()) for _ in range(n_rounds)]
    figures = done.figures
    if rounds:
        scoring_s, passing_s = (median(times) for times in zip(*rounds, strict=True))
        each = ", ".join(f"{ours:.2f}/{plain:.2f}" for ours, plain in rounds)
        ratio = scoring_s / passing_s
        print(f"{method}: scored in {scoring_s:.2f} s, plain {passing_s:.2f} s, ratio {ratio:.2f} ({each})")
    print(
        f"{method}: peak RSS {before.peak_rss_bytes / MB:.0f} → {done.memory.peak_rss_bytes / MB:.0f} MB;"
        f" perplexity {figures.perplexity:.3f} ± {figures.perplexity_se:.3f},"
        f" KLD {figures.kld_mean:.3g} ± {figures.kld_mean_se:.1g}, median {figures.kld_median:.3g},"
        f" p99 {figures.kld_p99:.3g}, max {figures.kld_max:.3g},"
        f" Δp {figures.delta_p_mean:+.2%} ± {figures.delta_p_mean_se:.2%}, RMS {figures.delta_p_rms:.2%},"
        f" top-1 {figures.top1:.2%} ± {figures.top1_se:.2%}, {figures.n_scored} positions,"
        f" reference {done.reference_bytes / MB:.2f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="timed passes of each kind; 0: only the figures")
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    for method in options.methods:
        if options.here:
            measure(options.model_dir, method, options.threads, options.rounds)
            continue
        command = [sys.executable, "-m", "tests.bench.quality_cost", str(options.model_dir), method, "--here"]
        command += ["--threads", str(options.threads), "--rounds", str(options.rounds)]
        subprocess.run(command, check=True, env=os.environ | worker_environment(options.threads))


if __name__ == "__main__":
    main()
