"""The model in this folder under PyTorch, guessing how the text goes on from what it said before."""

import kv_cache
from lookup import Drafter


class Model(kv_cache.Model):
    """Decodes token by token with a KV-cache; guesses are checked several in one step."""

    def prefill(self, token_ids, max_length):
        """Forget everything, read a prompt, and return the logits that follow; `max_length` counts new tokens, too."""
        logits = super().prefill(token_ids, max_length)
        self._drafter = Drafter(self, token_ids, max_length, most_at_once=8)
        return logits

    def decode(self, token_id):
        """Append one token and return the logits that follow it; they may be there already."""
        return self._drafter.decode(token_id)

    def append(self, token_ids):
        """Process tokens in one step and return the logits that follow each."""
        return self._append(token_ids, n_kept=0)

    def rollback(self, n_tokens):
        """Forget the last tokens."""
        self._cache.crop(-n_tokens)
        self._length -= n_tokens
