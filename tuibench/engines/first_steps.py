"""The first steps of a text as one uncached pass predicts them: what every exact way of running a model must give.

A cache that a model ignores, a wrong rotation or a wrong tensor shows within a few tokens, whatever they are: the
tokens are spread over the vocabulary, so that neither text nor tokenizer is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]

N_PROMPT = 8
"""Tokens that are read at once."""
N_STEPS = 4
"""Tokens that follow one by one."""
_STRIDE = 7919
"""A prime: the tokens come from all over the vocabulary, whatever its size."""


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """A few tokens and what follows each of the last ones."""

    token_ids: tuple[int, ...]
    """`N_PROMPT + N_STEPS`."""
    logits: Logits
    """After the prompt and after each step: `[N_STEPS + 1, vocabulary]`."""


def first_tokens(vocabulary: int, config: Mapping[str, Any]) -> tuple[int, ...]:
    """Return tokens to check with, none of which stands for an image, a pad or the like.

    Args:
        vocabulary: Rows of the embedding table.
        config: The model's `config.json`, which names the special ones.
    """
    special = frozenset(_special_ids(config))
    candidates = ((index * _STRIDE + 13) % vocabulary for index in range(2 * vocabulary))
    plain = [token_id for token_id in candidates if token_id not in special] or [0]
    n_tokens = N_PROMPT + N_STEPS
    return tuple((plain * n_tokens)[:n_tokens])


def take_first_steps(
    token_ids: Sequence[int], prefill: Callable[[Sequence[int], int], Logits], decode: Callable[[int], Logits]
) -> Logits:
    """Return what a method predicts after the prompt and after each step, `[N_STEPS + 1, vocabulary]`."""
    import numpy as np

    prompt, steps = token_ids[:N_PROMPT], token_ids[N_PROMPT:]
    rows = [np.array(prefill(prompt, len(token_ids)))]
    rows += [np.array(decode(token_id)) for token_id in steps]
    return np.stack(rows)


def largest_kld(expected: Logits, found: Logits) -> float:
    """Return the largest divergence in nats of any position; infinite where a prediction is not a number.

    Args:
        expected: Logits of each position, `[positions, vocabulary]`.
        found: The same shape.
    """
    import numpy as np

    if expected.shape != found.shape:
        return float("inf")
    with np.errstate(invalid="ignore", divide="ignore"):
        reference, ours = _log_probabilities(expected), _log_probabilities(found)
        # Padding beyond the vocabulary may be -inf on both sides: it has no probability and counts for nothing.
        terms = np.where(np.isneginf(reference), 0, np.exp(reference) * (reference - ours))
        largest = float(terms.sum(axis=1).max())
    return float("inf") if math.isnan(largest) else largest


def _log_probabilities(logits: Logits) -> NDArray[np.float64]:
    import numpy as np

    wide = logits.astype(np.float64)
    shifted: NDArray[np.float64] = wide - wide.max(axis=1, keepdims=True)
    total: NDArray[np.float64] = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - total


def _special_ids(config: Mapping[str, Any]) -> Iterable[int]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _special_ids(value)
        elif str(name).endswith(("token_id", "token_index", "token_ids")):
            values = value if isinstance(value, list | tuple) else [value]
            yield from (each for each in values if isinstance(each, int))
