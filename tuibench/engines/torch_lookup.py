"""`kv-cache-lookup`: the KV-cache method, guessing from the text so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuibench.core.spec import Method
from tuibench.engines.base import Guesses, UnsupportedModelError
from tuibench.engines.lookup import Guesser
from tuibench.engines.torch_eager import KvCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

_MOST_AT_ONCE = 8


class KvCacheLookup(KvCache):
    """The tokens of `kv-cache`, unless two are as likely to within the rounding of sums.

    PyTorch adds up the products of several tokens in another order than those of one.
    """

    method = Method(
        id="kv-cache-lookup",
        title="KV-cache, prompt lookup",
        explanation="guesses how the text goes on from what it said before, checks up to 7 tokens in one step",
        parent="kv-cache",
        precision="fp32",
        requires=("torch", "transformers"),
    )

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        """Read the prompt.

        Raises:
            UnsupportedModelError: A layer's cache cannot forget tokens: a sliding window has overwritten older ones.
        """
        logits = super().prefill(token_ids, max_length)
        if not all(hasattr(layer, "take_back") for layer in self._cache.layers):
            raise UnsupportedModelError("prompt lookup needs a cache that can forget tokens; a sliding window cannot")
        self._guesser = Guesser(self, token_ids, max_length, _MOST_AT_ONCE)
        return logits

    def decode(self, token_id: int) -> Logits:
        return self._guesser.decode(token_id)

    def append(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens in one pass; see `lookup.Steps`."""
        import torch

        with torch.inference_mode():
            return self._all_logits(torch.tensor([list(token_ids)]), past_key_values=self._cache, use_cache=True)

    def take_back(self, n_tokens: int) -> None:
        """Forget the last tokens; see `lookup.Steps`."""
        for layer in self._cache.layers:
            layer.take_back(n_tokens)

    @property
    def guesses(self) -> Guesses:
        """See `GuessingEngine`."""
        return self._guesser.guesses
