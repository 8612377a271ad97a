"""What transformers computes of a folder without any cache, in a process that tuibench's engines have no part in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.tiny_models import CORPUS
from tuibench.models.references import reference_recipe
from tuibench.models.text.tokenizer import PromptTokenizer
from tuibench.quality.reference import ReferenceMaker
from tuibench.quality.windows import Windows

Rows = NDArray[np.float32]

N_PROMPT, N_DECODED, N_SCORED = 40, 24, 200
"""Tokens: longer than the windows of 16, and more than an engine scores at once."""
_WORDS = sorted({word for line in CORPUS for word in line.split()})
_PICKED_KLD = 0.01
"""Two passes may pick other positions where an indexer's scores are the same but for rounding; encoders differ more."""


def text_of(tokenizer: PromptTokenizer, n_tokens: int) -> str:
    """Return a text of so many tokens, a few more at most, that does not repeat itself."""
    rng, words = np.random.default_rng(7), []
    while len(tokenizer.encode(" ".join(words), raw=True)) < n_tokens:
        words.append(_WORDS[rng.integers(len(_WORDS))])
    return " ".join(words)


@dataclass(frozen=True)
class Truth:
    """Logits `[positions, vocabulary]` of uncached passes."""

    prompt: str
    text: str
    token_ids: list[int]
    """The text's."""
    whole: Rows
    """One pass over the whole text."""
    prefixes: Rows
    """The last position of a pass over each prefix; where the model is causal and its rotation fixed, the same."""
    greedy: list[int]
    """What follows the prompt, EOS banned, recomputed from the start for every token."""
    margins: list[float]
    """How far the best token is before the second."""
    causal: bool
    """Whether later tokens leave earlier positions alone."""
    by_length: bool
    """Whether the rotation depends on how long the text is."""

    @property
    def windows(self) -> Windows:
        """The text as it is scored: one window."""
        return Windows((tuple(self.token_ids),))


def compute(directory: Path) -> Truth:
    """Load the folder as transformers does and compute."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = PromptTokenizer(directory)
    prompt, text = text_of(tokenizer, N_PROMPT), text_of(tokenizer, N_SCORED)
    ids, prompt_ids = tokenizer.encode(text, raw=True), tokenizer.encode(prompt, raw=True)

    def logits(token_ids: list[int]) -> Rows:
        with torch.inference_mode():
            found: Rows = model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0].float().numpy()
        return found

    whole = logits(ids)
    checked = [1, 17, N_PROMPT + 3, len(ids) // 2, len(ids) - 9]
    causal = max(kld(whole[n - 1], logits(ids[:n])[-1]) for n in checked) < _PICKED_KLD
    prefixes = whole if causal else np.stack([logits(ids[: n + 1])[-1] for n in range(len(ids))])
    greedy, margins = [], []
    for _ in range(N_DECODED):
        row = logits(prompt_ids + greedy)[-1]
        row[list(tokenizer.eos_ids)] = -np.inf
        second, best = np.sort(row)[-2:]
        greedy.append(int(row.argmax()))
        margins.append(float(best - second))
    by_length = any(name in (directory / "config.json").read_text() for name in ('"dynamic"', '"longrope"'))
    return Truth(prompt, text, ids, whole, prefixes, greedy, margins, causal, by_length)


def plant_reference(truth: Truth, directory: Path) -> None:
    """Put these predictions into the cache as the reference that methods are scored against."""
    maker = ReferenceMaker(
        windows=truth.windows,
        weights=(),
        score=lambda _: iter([truth.prefixes.copy()]),
        head_inputs=None,
        progress=lambda *_: None,
    )
    maker.make(reference_recipe(directory, truth.text), directory.name)


def kld(expected: Rows, found: Rows) -> float:
    """Return the Kullback-Leibler divergence in nats, the largest of the rows; infinite where one is not a number."""
    from scipy.special import rel_entr, softmax

    p, q = (softmax(np.atleast_2d(rows).astype(np.float64), axis=-1) for rows in (expected, found))
    if p.shape != q.shape or not np.isfinite(q).all():
        return float("inf")
    return float(rel_entr(p, q).sum(-1).max())
