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
MOST_NATS = 1e-3
"""Largest divergence at any position that is the rounding of sums. Exact methods are at 1e-7 or below; ties between
positions that sparse attention looks up gave 1e-4; a cache that is ignored gives 0.1 and more."""
_STRIDE = 7919
"""A prime: the tokens come from all over the vocabulary, whatever its size."""
_TRAINED_SPREAD = 2.0
"""Standard deviation over the vocabulary that trained models' logits have at least; SmolLM2's is 3 to 5."""


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """A few tokens and what follows each of them."""

    token_ids: tuple[int, ...]
    """`N_PROMPT + N_STEPS`."""
    logits: Logits
    """At every position, `[N_PROMPT + N_STEPS, vocabulary]`."""

    def decoding_error(self, prefill: Callable[[Sequence[int], int], Logits], decode: Callable[[int], Logits]) -> float:
        """Return how far a method is off that reads the prompt and goes on one by one; see `largest_kld`."""
        import numpy as np

        rows = [np.array(prefill(self.token_ids[:N_PROMPT], len(self.token_ids)))]
        rows += [np.array(decode(token_id)) for token_id in self.token_ids[N_PROMPT:]]
        return largest_kld(self.logits[N_PROMPT - 1 :], np.stack(rows))

    def scoring_error(self, blocks: Iterable[Logits]) -> float:
        """Return how far predictions of all positions are off, given as blocks whose memory may be reused."""
        import numpy as np

        return largest_kld(self.logits, np.concatenate([np.array(block) for block in blocks]))


def are_logits(values: Logits) -> bool:
    """Return whether every row predicts something: a padded vocabulary has tokens that are ruled out (−inf).

    Args:
        values: `[vocabulary]` or `[positions, vocabulary]`.
    """
    import numpy as np

    no_numbers = np.isnan(values).any() or np.isposinf(values).any()
    return not no_numbers and bool(np.isfinite(values).any(axis=-1).all())


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


def largest_kld(expected: Logits, found: Logits) -> float:
    """Return the largest divergence in nats of any position; infinite where a prediction is not a number.

    Predictions that are flatter than a trained model's are sharpened first, both by the same factor: next to uniform
    ones everything would be close.

    Args:
        expected: Logits of each position, `[positions, vocabulary]`.
        found: The same shape; anything else is infinitely far.
    """
    import numpy as np

    if expected.shape != found.shape:
        return math.inf
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        spread = np.std(expected, axis=1, keepdims=True, where=np.isfinite(expected), dtype=np.float64)
        factor = np.maximum(1, _TRAINED_SPREAD / np.where(spread > 0, spread, _TRAINED_SPREAD))
        reference, ours = (_log_probabilities(each.astype(np.float64) * factor) for each in (expected, found))
        # Padding beyond the vocabulary may be -inf on both sides: it has no probability and counts for nothing.
        terms = np.where(np.isneginf(reference), 0, np.exp(reference) * (reference - ours))
        largest = float(np.abs(terms.sum(axis=1)).max())
    return math.inf if math.isnan(largest) else largest


def _log_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    shifted: NDArray[np.float64] = logits - logits.max(axis=1, keepdims=True)
    total: NDArray[np.float64] = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - total


def _special_ids(config: Mapping[str, Any]) -> Iterable[int]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _special_ids(value)
        elif str(name).endswith(("token_id", "token_index", "token_ids")):
            values = value if isinstance(value, list | tuple) else [value]
            yield from (each for each in values if isinstance(each, int))
