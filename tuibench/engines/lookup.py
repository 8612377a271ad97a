"""Prompt-lookup decoding: guess that the text goes on as it did where its last words stood before, and check the guess.

A text that repeats itself (code, quotations, summaries) is guessed well. A step processes the token at hand and the
guessed ones together, and reads the weights once: with PyTorch two tokens take 1.1 times the time of one, eight 2.1.
The fused INT8 step waits less for memory, so that two take up to 1.9 times and eight 4: only long repetitions pay.
The logits of a guessed token are used only if that token is then picked: the text is the one made without guessing.

The first token of a step carries the time of the step. The guessed ones that turn out right follow at once: their
inter-token latency is next to nothing, and means over tokens stay true.

The idea is Saxena's (2023); transformers has it as `prompt_lookup_num_tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tuibench.engines.base import Guesses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

_NGRAM_SIZES = (3, 2)
"""Longest first: what followed three equal tokens is a better guess than what followed two."""
_FIRST_GUESSED = 1
"""A wrong guess of one token costs least; one that is right is followed by a longer one."""


class PromptLookup:
    """The text so far, prompt included, and where each run of two or three tokens was last followed by something."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._followers: dict[tuple[int, ...], int] = {}
        for token_id in token_ids:
            self.append(token_id)

    def append(self, token_id: int) -> None:
        """Take note of the next token of the text."""
        for size in _NGRAM_SIZES:
            if len(self._tokens) >= size:
                self._followers[tuple(self._tokens[-size:])] = len(self._tokens)
        self._tokens.append(token_id)

    def guess(self, most: int) -> list[int]:
        """Return what followed the last tokens when they stood together before; at most so many tokens, maybe none."""
        for size in _NGRAM_SIZES:
            start = self._followers.get(tuple(self._tokens[-size:]))
            if start is not None:
                return self._tokens[start : start + most]
        return []


class Steps(Protocol):
    """What can process several tokens in one step, and forget the last ones."""

    def append(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens and return the logits that follow each, `[tokens, vocabulary]`."""

    def take_back(self, n_tokens: int) -> None:
        """Forget the last tokens."""


class Guesser:
    """Decoding with guesses, token by token for the caller."""

    def __init__(self, steps: Steps, token_ids: Sequence[int], max_length: int, most_at_once: int) -> None:
        """Start after a prompt.

        Args:
            steps: Has processed the prompt.
            token_ids: The prompt.
            max_length: Most tokens, prompt included, that `steps` has room for.
            most_at_once: Most tokens of one step.
        """
        self._steps = steps
        self._lookup = PromptLookup(token_ids)
        self._length, self._max_length = len(token_ids), max_length
        self._most_at_once = most_at_once
        self._most_guessed = _FIRST_GUESSED
        self._guessed: list[int] = []
        self._logits: NDArray[np.float32] | None = None
        self._row = 0
        self.guesses = Guesses()

    def decode(self, token_id: int) -> Logits:
        """Append one token and return the logits that follow it; they may be there already."""
        self._lookup.append(token_id)
        self._length += 1
        if self._logits is not None and self._row < len(self._guessed) and self._guessed[self._row] == token_id:
            self._row += 1
            self.guesses.n_right += 1
            accepted: Logits = self._logits[self._row]
            return accepted
        self._steps.take_back(len(self._guessed) - self._row)
        if self._guessed:
            # Guesses that are wrong cost time: after some that were, guess hardly more than was right.
            all_right = self._row == len(self._guessed)
            self._most_guessed = min(2 * self._most_guessed + 1, self._most_at_once) if all_right else self._row + 1
        room = min(self._most_guessed, self._most_at_once - 1, self._max_length - self._length)
        self._guessed = self._lookup.guess(room) if room > 0 else []
        self._logits, self._row = self._steps.append([token_id, *self._guessed]), 0
        self.guesses.n_steps += 1
        self.guesses.n_guessed += len(self._guessed)
        following: Logits = self._logits[0]
        return following
