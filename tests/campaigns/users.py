"""Sequences that share steps, on tiny models of many families, against transformers' uncached pass over each alone.

    python -m tests.campaigns.users METHOD,… [FAMILY,…]

Prints a line for each family and method: how many nats the worst position of 2, 4 and 8 sequences is off, or why they
run one after the other. Lengths differ, and are longer than the windows of 16 that the tiny models have.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.architectures.folders import save_folder
from tuibench.engines.base import BatchEngine, UnsupportedModelError
from tuibench.engines.first_steps import largest_kld
from tuibench.methods import engine_class

FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "gpt2", "gpt_neox", "opt",
    "bloom", "falcon", "stablelm", "starcoder2", "olmo2", "smollm3", "granite", "cohere", "mixtral", "gpt_oss",
    "mamba", "recurrent_gemma",
)  # fmt: skip
_COUNTS = (2, 4, 8)
_LENGTHS = (9, 30, 4, 27, 12, 25, 7, 21)
_N_STEPS = 20


def texts(vocabulary: int) -> list[list[int]]:
    """Return a text for each sequence, what it is to generate included."""
    rng = np.random.default_rng(5)
    return [[int(each) for each in rng.integers(3, min(380, vocabulary), n + _N_STEPS)] for n in _LENGTHS]


def alone(directory: Path, token_ids: list[list[int]]) -> list[Any]:
    """Return the logits from each prompt's last position on, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.inference_mode():
        return [
            model(torch.tensor([ids]), use_cache=False).logits[0, n - 1 :].numpy()
            for ids, n in zip(token_ids, _LENGTHS, strict=True)
        ]


def together(engine: BatchEngine, token_ids: list[list[int]], n: int) -> list[Any]:
    """Return the same of the first `n`, which share their steps; each comes two steps after the one before."""
    engine.begin_batch(n, max(map(len, token_ids)))
    rows: list[list[Any]] = [[] for _ in range(n)]
    for step in range(2 * n + _N_STEPS):
        for each in range(n):
            if step == 2 * each:
                rows[each].append(np.array(engine.read_sequence(each, token_ids[each][: _LENGTHS[each]])))
        active = [each for each in range(n) if 0 < len(rows[each]) <= _N_STEPS]
        if active:
            latest = [token_ids[each][_LENGTHS[each] + len(rows[each]) - 1] for each in active]
            for each, row in zip(active, np.array(engine.decode_batch(active, latest)), strict=True):
                rows[each].append(row)
    return [np.stack(found) for found in rows]


def measured(method: str, directory: Path) -> str:
    """Return how far a method is off, in words."""
    engine = engine_class(method)()
    try:
        engine.prepare(directory, lambda *_: None)
        engine.load(directory, 1, lambda *_: None)
    except UnsupportedModelError as error:
        return f"unsupported: {error}"
    if not isinstance(engine, BatchEngine) or engine.why_alone is not None:
        return f"one after the other: {getattr(engine, 'why_alone', 'one sequence a step')}"
    token_ids = texts(engine.prefill([5], 2).size)
    expected = alone(directory, token_ids)
    errors = []
    for n in _COUNTS:
        found = together(engine, token_ids, n)
        errors.append(max(largest_kld(*pair) for pair in zip(expected, found, strict=False)))
    return "  ".join(f"{n}: {error:.1e}" for n, error in zip(_COUNTS, errors, strict=True))


def main() -> None:
    """Print the table."""
    methods = sys.argv[1].split(",")
    for family in sys.argv[2].split(",") if len(sys.argv) > 2 else FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / family
            try:
                save_folder(family, directory)
            except Exception as error:  # noqa: BLE001 - of many authors' models
                print(f"{family:16} cannot be made: {type(error).__name__}: {error}")
                continue
            for method in methods:
                try:
                    told = measured(method, directory)
                except Exception as error:  # noqa: BLE001 - a row says so, and the table goes on
                    told = f"FAILED {type(error).__name__}: {error}"
                print(f"{family:16} {method:12} {told}", flush=True)


if __name__ == "__main__":
    main()
