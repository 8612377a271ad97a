"""Prompt-lookup decoding: guess that the text goes on as it did where its last words stood before, and check the guess.

A text that repeats itself (code, quotations, summaries) is guessed well. A step processes the token at hand and the
guessed ones together, and reads the weights once: with PyTorch two tokens take 1.1 times the time of one, eight 2.1;
the fused INT8 step waits less for memory, so that two take up to 1.9 times and eight 4. What pays is therefore found
while running: see `Policy`. The logits of a guessed token are used only if that token is then picked: the text is the
one made without guessing.

The first token of a step carries the time of the step. The guessed ones that turn out right follow at once: their
inter-token latency is next to nothing, and means over tokens stay true.

The idea is Saxena's (2023); transformers has it as `prompt_lookup_num_tokens`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

_NGRAM_SIZES = (3, 2)
"""Longest first: what followed three equal tokens is a better guess than what followed two."""
_LONGEST_STREAK = 4
"""From so many right guesses in a row on, how many more there were is not told apart."""
_TIMES_KEPT = 32
_KNOWN_FROM = 4
"""Steps of one token that are timed before the first guess: those right after the prompt take longer."""
_UNKNOWN_COST = 0.3
"""What another token of a step costs, in steps of one token, until it has been measured."""


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

    @property
    def tokens(self) -> Sequence[int]:
        """The text so far."""
        return self._tokens

    def guess(self, most: int) -> list[int]:
        """Return what followed the last tokens when they stood together before; at most so many tokens, maybe none."""
        for size in _NGRAM_SIZES:
            start = self._followers.get(tuple(self._tokens[-size:]))
            if start is not None:
                return self._tokens[start : start + most]
        return []


class Policy:
    """How many tokens to guess: as many as make most tokens a second, from what was seen so far.

    A guess costs nothing to make, only to check. So every token of the text tells whether it would have been guessed,
    and how likely the next one is after so many right ones in a row. What a step of `n` tokens takes is the least of
    its latest times, the first left out, which prepares the shape: a step of one token after a wider one takes longer
    than after its like, which is a price of guessing, too.
    """

    def __init__(self) -> None:
        self._right = [1.0] * (_LONGEST_STREAK + 1)
        self._made = [2.0] * (_LONGEST_STREAK + 1)
        self._streak = 0
        self._times: dict[int, deque[int]] = {}

    def saw(self, *, right: bool) -> None:
        """Take note of whether a token was what would have been guessed for it."""
        self._made[self._streak] += 1
        self._right[self._streak] += right
        self._streak = min(self._streak + 1, _LONGEST_STREAK) if right else 0

    def took(self, n_tokens: int, time_ns: int) -> None:
        """Take note of how long a step took."""
        if n_tokens in self._times:
            self._times[n_tokens].append(time_ns)
        else:
            self._times[n_tokens] = deque(maxlen=_TIMES_KEPT)

    def n_guesses(self, most: int) -> int:
        """Return how many tokens are best guessed; none before steps of one token have been timed."""
        if len(self._times.get(1, ())) < _KNOWN_FROM:
            return 0
        best, best_speed, expected, likelihood = 0, 1.0, 1.0, 1.0
        for n in range(1, most + 1):
            streak = min(self._streak + n - 1, _LONGEST_STREAK)
            likelihood *= self._right[streak] / self._made[streak]
            expected += likelihood
            speed = expected / self._cost(n + 1)
            if speed > best_speed:
                best, best_speed = n, speed
        return best

    def _cost(self, n_tokens: int) -> float:
        """Return the time of a step as a multiple of that of one token; from the nearest measured one if need be."""
        one = min(self._times[1])
        measured = [n for n, times in self._times.items() if n > 1 and times]
        if not measured:
            return 1 + _UNKNOWN_COST * (n_tokens - 1)
        nearest = min(measured, key=lambda n: (abs(n - n_tokens), n))
        return 1 + (min(self._times[nearest]) / one - 1) * (n_tokens - 1) / (nearest - 1)


class Steps(Protocol):
    """What can process several tokens in one step, and forget the last ones."""

    def append(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Process tokens and return the logits that follow each, `[tokens, vocabulary]`."""

    def rollback(self, n_tokens: int) -> None:
        """Forget the last tokens."""


class Drafter:
    """Decoding with guesses, token by token for the caller.

    Attributes:
        n_steps: Steps of the model after the prompt; with `n_guessed` and `n_accepted` as in `base.Guesses`.
    """

    def __init__(
        self,
        steps: Steps,
        token_ids: Sequence[int],
        max_length: int,
        most_at_once: int,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """Start after a prompt.

        Args:
            steps: Has processed the prompt.
            token_ids: The prompt.
            max_length: Most tokens, prompt included, that `steps` has room for.
            most_at_once: Most tokens of one step.
            clock: Nanoseconds, to time steps with.
        """
        self._steps = steps
        self._lookup = PromptLookup(token_ids)
        self._length, self._max_length = len(token_ids), max_length
        self._most_at_once = most_at_once
        self._clock, self._policy = clock, Policy()
        self._guessed: list[int] = []
        self._logits: NDArray[np.float32] | None = None
        self._row = 0
        self.n_steps = self.n_guessed = self.n_accepted = 0

    def read(self, token_ids: Sequence[int]) -> None:
        """Take note of more of the prompt, which `steps` processes beside this; before the first `decode`."""
        for token_id in token_ids:
            self._lookup.append(token_id)
        self._length += len(token_ids)

    def kept(self, n_kept: int, max_length: int) -> Drafter:
        """Return the drafter of this text's beginning; `steps` has forgotten the rest, and has room for more."""
        return Drafter(self._steps, self._lookup.tokens[:n_kept], max_length, self._most_at_once, self._clock)

    def decode(self, token_id: int) -> Logits:
        """Append one token and return the logits that follow it; they may be there already."""
        for guess in self._lookup.guess(1):
            self._policy.saw(right=guess == token_id)
        self._lookup.append(token_id)
        self._length += 1
        if self._logits is not None and self._row < len(self._guessed) and self._guessed[self._row] == token_id:
            self._row += 1
            self.n_accepted += 1
            accepted: Logits = self._logits[self._row]
            return accepted
        self._steps.rollback(len(self._guessed) - self._row)
        room = min(self._most_at_once - 1, self._max_length - self._length)
        guessed = self._lookup.guess(room) if room > 0 else []
        self._guessed = guessed[: self._policy.n_guesses(len(guessed))]
        start = self._clock()
        self._logits, self._row = self._steps.append([token_id, *self._guessed]), 0
        self._policy.took(1 + len(self._guessed), self._clock() - start)
        self.n_steps += 1
        self.n_guessed += len(self._guessed)
        following: Logits = self._logits[0]
        return following
