"""Prompt lookup against the same method without it, on texts that repeat themselves much, a little and not at all.

Usage: python -m tests.bench.bench_fused_lookup MODEL_DIR [--pairs fused-int8 kv-cache] [--threads 2] [--rounds 3]

The methods take turns, a whole generation each; greedy, EOS banned, as a measurement of tuibench does it. Medians over
the rounds. `--steps` times steps of several tokens instead: what a guess costs.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from time import perf_counter_ns

from tuibench.methods import engine_class
from tuibench.models.text.tokenizer import PromptTokenizer

PASSAGE = (
    "The lighthouse at Cape Farewell was built in 1870 and is the northernmost of the South Island. Its first tower "
    "was made of timber, since stone was hard to bring there. It was replaced by a steel tower in 1897, and the "
    "keepers were withdrawn in 1984, when the light became automatic."
)
JSON = (
    '[{"name": "Anna", "age": 31, "city": "Lisbon"}, {"name": "Boris", "age": 28, "city": "Sofia"}, '
    '{"name": "Carla", "age": 45, "city": "Turin"}, {"name": "David", "age": 39, "city": "Leeds"}]'
)
PROMPTS = {
    "prose": "Tell me a story about a lighthouse keeper who is afraid of the sea.",
    "JSON": f"Write this JSON again, one object a line, with the same keys and values:\n{JSON}",
    "questions": f"{PASSAGE}\n\nWhat does the passage say about the first tower, and why was it made so? Quote it.",
}
N_TOKENS = 128


def generate(engine, prompt, eos_ids):
    """Return the tokens, and nanoseconds per token after the first."""
    logits = engine.prefill(prompt, len(prompt) + N_TOKENS)
    tokens, start = [], 0
    for index in range(N_TOKENS):
        logits[list(eos_ids)] = float("-inf")
        tokens.append(int(logits.argmax()))
        start = start or perf_counter_ns()
        if index + 1 < N_TOKENS:
            logits = engine.decode(tokens[-1])
    return tokens, (perf_counter_ns() - start) / (N_TOKENS - 1)


def opened(method, model, n_threads):
    engine = engine_class(method)()
    engine.prepare(model, lambda *_: None)
    engine.load(model, n_threads, lambda *_: None)
    return engine


def compare(options, method, prompts, eos_ids):
    engines = {name: opened(name, options.model, options.threads) for name in (method, f"{method}-lookup")}
    plain, guessing = engines.values()
    for text, prompt in prompts.items():
        taken, tokens = {name: [] for name in engines}, {}
        for _ in range(options.rounds):
            for name, engine in engines.items():
                tokens[name], per_token = generate(engine, prompt, eos_ids)
                taken[name].append(per_token / 1e6)
        mine, other = (statistics.median(taken[name]) for name in (f"{method}-lookup", method))
        found = guessing.guesses
        same = tokens[method] == tokens[f"{method}-lookup"]
        print(
            f"{method:11} {options.threads} threads  {text:10} plain {other:6.2f} ms  lookup {mine:6.2f} ms  "
            f"{other / mine:5.2f} x  "
            f"guessed {found.n_guessed:3}  right {found.n_accepted / max(1, found.n_guessed):4.0%}  "
            f"{1 + found.n_accepted / found.n_steps:.2f} tokens a step  {'same' if same else 'OTHER'} tokens",
            flush=True,
        )
    plain.close()
    guessing.close()


def time_steps(options, method, prompt):
    engine = opened(f"{method}-lookup", options.model, options.threads)
    engine.prefill(prompt, len(prompt) + 16)
    steps = getattr(engine, "_session", engine)
    taken = {n: [] for n in range(1, 9)}
    for _ in range(10):
        for n, times in taken.items():
            start = perf_counter_ns()
            steps.append(prompt[:n])
            times.append((perf_counter_ns() - start) / 1e6)
            steps.rollback(n)
    one = statistics.median(taken[1])
    ratios = (f"{n}: {statistics.median(times) / one:.2f}" for n, times in taken.items())
    print(method, "  ".join(ratios), f"x {one:.2f} ms")
    engine.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pairs", nargs="+", default=["fused-int8", "kv-cache"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", action="store_true")
    options = parser.parse_args()
    print("load average before:", os.getloadavg())
    tokenizer = PromptTokenizer(options.model)
    prompts = {name: tokenizer.encode(prompt, raw=False) for name, prompt in PROMPTS.items()}
    for method in options.pairs:
        if options.steps:
            time_steps(options, method, prompts["prose"])
        else:
            compare(options, method, prompts, tokenizer.eos_ids)
    print("load average after:", os.getloadavg())


if __name__ == "__main__":
    main()
