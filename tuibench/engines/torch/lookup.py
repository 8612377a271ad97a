"""`kv-cache-lookup`: the KV-cache method, guessing from the text so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Guesses, Progress, UnsupportedModelError
from tuibench.engines.lookup import Drafter
from tuibench.engines.torch.eager import KvCache

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

    def _adapted(self, info: EngineInfo, progress: Progress) -> EngineInfo:
        """Check the cache.

        Raises:
            UnsupportedModelError: A layer's cannot forget tokens: a window has overwritten older ones, a state has
                taken them up.
        """
        from tuibench.engines.torch.cache import layers_that_keep_all

        info = super()._adapted(info, progress)
        if lasting := layers_that_keep_all(self._text.cache):
            raise UnsupportedModelError(
                f"prompt lookup needs a cache that can forget tokens; this model's {', '.join(lasting)} cannot"
            )
        return info

    @property
    def why_alone(self) -> str | None:
        """See `BatchEngine`."""
        return "it guesses ahead in one sequence"

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        logits = super().prefill(token_ids, max_length)
        self._guesser = Drafter(self, token_ids, max_length, _MOST_AT_ONCE)
        return logits

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`; guesses are made from these tokens, too."""
        self._guesser.read(token_ids)
        return super().extend(token_ids)

    def decode(self, token_id: int) -> Logits:
        return self._guesser.decode(token_id)

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        kept = super().keep(n_kept, max_length)
        if kept:
            self._guesser = self._guesser.kept(n_kept, max_length)
        return kept

    def append(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens in one pass; see `lookup.Steps`."""
        import numpy as np
        import torch

        if not self._text.rotates_alike(len(token_ids)):
            return np.concatenate([self.append([token_id]) for token_id in token_ids])
        every = dict.fromkeys(self._forward_options, 0)
        with torch.inference_mode():
            logits: NDArray[np.float32] = self._text.append(token_ids, **every).logits[0, -len(token_ids) :].numpy()
        return logits

    def rollback(self, n_tokens: int) -> None:
        """Forget the last tokens; see `lookup.Steps`."""
        self._text.rollback(n_tokens)

    @property
    def guesses(self) -> Guesses:
        """See `GuessingEngine`."""
        drafter = self._guesser
        return Guesses(drafter.n_steps, drafter.n_guessed, drafter.n_accepted)
