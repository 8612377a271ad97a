"""From logits to the next token."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from tuibench.core.run.spec import Sampling

_SORTED_FIRST = 256
_SORTED_FACTOR = 8


class NonFiniteLogitsError(ArithmeticError):
    """The model's output is not a number: nothing can be picked from it."""


class Sampler:
    """Picks tokens; the same seed, settings and logits give the same tokens."""

    def __init__(self, sampling: Sampling, banned: Collection[int] = ()) -> None:
        """Take the settings.

        Args:
            sampling: How to pick.
            banned: Tokens never picked: EOS, where the length is forced (transformers' `min_new_tokens` does the same).
        """
        self._sampling = sampling
        self._banned = list(banned)
        self._room = np.empty(0)
        self._random = np.random.default_rng(sampling.seed)

    def pick(self, logits: NDArray[np.float32]) -> int:
        """Return the next token id. Logits have shape `[vocabulary]`; banned ones are overwritten.

        Raises:
            NonFiniteLogitsError: The best logit is NaN or infinite.
        """
        if self._banned:
            logits[self._banned] = -np.inf
        best = int(logits.argmax())  # a NaN, if there is one, wins
        if not np.isfinite(logits[best]):
            raise NonFiniteLogitsError("the model's logits are not finite")
        return best if self._sampling.greedy else self._draw(logits)

    def _draw(self, logits: NDArray[np.float32]) -> int:
        """Return the token at a random point of the cumulated probabilities, the most likely tokens first.

        So few tokens reach most points that sorting the whole vocabulary, 150,000 tokens with some models, would cost
        more than a small model's step: more are sorted only where the point, or the nucleus, is not reached.
        """
        point, top_p, top_k = self._random.random(), self._sampling.top_p, self._sampling.top_k
        n_allowed = min(top_k or logits.size, logits.size)
        n_sorted = n_allowed if top_k else min(_SORTED_FIRST, n_allowed)
        total = 0.0 if top_k else self._weights(logits, logits.max()).sum()
        while True:
            order = _most_likely(logits, n_sorted)
            cumulated = np.cumsum(self._weights(logits[order], logits[order[0]]))
            cumulated /= cumulated[-1] if n_sorted == n_allowed else total
            if n_sorted == n_allowed or cumulated[-1] > (top_p if top_p < 1 else point):
                break
            n_sorted = min(_SORTED_FACTOR * n_sorted, n_allowed)
        if top_p < 1:
            # Nucleus sampling (Holtzman et al. 2020): the token that crosses p still belongs to the set.
            cumulated = cumulated[: int(np.searchsorted(cumulated, top_p)) + 1]
            cumulated /= cumulated[-1]
        return int(order[np.searchsorted(cumulated, point, side="right")])

    def _weights(self, logits: NDArray[np.float32], best: np.float32) -> NDArray[np.float64]:
        """Return probabilities up to a factor; overwritten by the next call."""
        if self._room.size < logits.size:
            self._room = np.empty(logits.size)  # once: pages of new memory would cost more than the arithmetic
        weights = self._room[: logits.size]
        np.subtract(logits, best, out=weights)
        weights /= self._sampling.temperature
        return np.exp(weights, out=weights)


def _most_likely(logits: NDArray[np.float32], n: int) -> NDArray[np.intp]:
    """Return the `n` tokens of the highest logits, the highest first; of equal ones, the lower token first."""
    least = np.partition(logits, logits.size - n)[logits.size - n]
    candidates = np.flatnonzero(logits >= least)
    return candidates[np.argsort(-logits[candidates], kind="stable")][:n]
