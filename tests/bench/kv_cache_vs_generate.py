"""`kv-cache` against transformers' own `generate()`: `python -m tests.bench.kv_cache_vs_generate [ROUNDS]`.

Interleaved in one process: same weights, threads, prompt, and forced greedy tokens, compared at the end.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

from tuibench.engines.torch.eager import KvCache
from tuibench.machine.fingerprint import default_threads
from tuibench.models.local import DEFAULT_MODEL
from tuibench.models.origin.pull import pull_model
from tuibench.models.text.tokenizer import PromptTokenizer

PROMPT = "Describe how a computer remembers what it has read. " * 3
N_TOKENS = 128


class Stamps:
    """A streamer that notes when each token of `generate()` is there."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def put(self, _: object) -> None:
        self.at_s.append(time.perf_counter())

    def end(self) -> None:
        """Nothing to do."""


def generate(model, prompt_ids: list[int], eos_ids: list[int]) -> tuple[list[int], list[float]]:
    ids, stamps = torch.tensor([prompt_ids]), Stamps()
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=N_TOKENS,
        min_new_tokens=N_TOKENS,
        do_sample=False,
        eos_token_id=eos_ids,
        streamer=stamps,
    )
    return output[0, len(prompt_ids) :].tolist(), stamps.at_s[1:]  # the first call hands over the prompt


def ours(engine: KvCache, prompt_ids: list[int], eos_ids: list[int]) -> tuple[list[int], list[float]]:
    tokens, at_s = [], []
    gc.collect()
    gc.disable()  # as the worker's decode loop does
    logits = engine.prefill(prompt_ids, len(prompt_ids) + N_TOKENS)
    for index in range(N_TOKENS):
        logits[eos_ids] = -float("inf")
        tokens.append(int(logits.argmax()))
        at_s.append(time.perf_counter())
        if index + 1 < N_TOKENS:
            logits = engine.decode(tokens[-1])
    gc.enable()
    return tokens, at_s


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    model_folder = pull_model(DEFAULT_MODEL).directory
    engine, tokenizer = KvCache(), PromptTokenizer(model_folder)
    engine.load(model_folder, default_threads(), lambda *_: None)
    # A model of its own: the engine's has been prepared for speed.
    reference = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    prompt_ids, eos_ids = tokenizer.encode(PROMPT, raw=False), sorted(tokenizer.eos_ids)
    runs = {
        "generate()": lambda: generate(reference, prompt_ids, eos_ids),
        "kv-cache": lambda: ours(engine, prompt_ids, eos_ids),
    }
    tpot_ms: dict[str, list[float]] = {name: [] for name in runs}
    outputs = {}
    for number in range(rounds + 1):
        names = list(runs) if number % 2 else list(reversed(runs))
        for name in names:
            outputs[name], at_s = runs[name]()
            if number:  # the first round warms up
                tpot_ms[name].append((at_s[-1] - at_s[0]) / (N_TOKENS - 1) * 1e3)
    for name, values in tpot_ms.items():
        print(f"{name:12} TPOT median {statistics.median(values):6.2f} ms  {[round(value, 1) for value in values]}")
    ratio = statistics.median(tpot_ms["generate()"]) / statistics.median(tpot_ms["kv-cache"])
    paired = statistics.median(a / b for a, b in zip(tpot_ms["generate()"], tpot_ms["kv-cache"], strict=True))
    same = outputs["generate()"] == outputs["kv-cache"]
    print(f"kv-cache decodes {ratio:.3f} times as fast (paired {paired:.3f}); same tokens: {same}")


if __name__ == "__main__":
    main()
