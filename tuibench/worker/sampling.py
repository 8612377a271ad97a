"""From logits to the next token."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from tuibench.core.spec import Sampling


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
        order = np.argsort(logits)[::-1]
        if self._sampling.top_k:
            order = order[: self._sampling.top_k]
        scaled = logits[order].astype(np.float64) / self._sampling.temperature
        probabilities = np.exp(scaled - scaled[0])
        probabilities /= probabilities.sum()
        if self._sampling.top_p < 1:
            # Nucleus sampling (Holtzman et al. 2020): the token that crosses p still belongs to the set.
            n_kept = int(np.searchsorted(np.cumsum(probabilities), self._sampling.top_p)) + 1
            order, probabilities = order[:n_kept], probabilities[:n_kept]
            probabilities /= probabilities.sum()
        return int(self._random.choice(order, p=probabilities))
