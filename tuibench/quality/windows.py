"""Which positions of a text are predicted, and from what: windows, as `llama-perplexity` cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuibench.core.run.shape import WINDOW_TOKENS

MAX_WINDOWS = 16
"""What a longer text has beyond them is left out: 4,080 predictions are plenty, and time is not."""
_MAX_TOKENS = MAX_WINDOWS * WINDOW_TOKENS
MIN_TOKENS = 64


class EvalTextError(ValueError):
    """The text cannot be scored; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Equal pieces of a text. Each is read from its start; its second half is predicted, of a long one more."""

    tokens: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        """Tokens of one window."""
        return len(self.tokens[0])

    @property
    def first(self) -> int:
        """First position whose prediction counts: earlier ones have seen too little."""
        return min(self.length, WINDOW_TOKENS) // 2

    @property
    def n_per_window(self) -> int:
        """Predictions of one window; the last position predicts a token of the next one."""
        return self.length - 1 - self.first

    @property
    def n_scored(self) -> int:
        """Predictions in all."""
        return len(self.tokens) * self.n_per_window

    @property
    def depths(self) -> tuple[int, ...]:
        """Positions at which bands begin, each twice as far as the one before; none where there is but one band."""
        starts = [self.first]
        while 2 * starts[-1] < self.length - 1:
            starts.append(2 * starts[-1])
        return tuple(starts) if len(starts) > 1 else ()

    @property
    def n_tokens(self) -> int:
        """Tokens that are read."""
        return len(self.tokens) * self.length


def windows_of(
    token_ids: Sequence[int], *, opening: Sequence[int], context_window: int | None, window_tokens: int | None = None
) -> Windows:
    """Return the windows of a text.

    Args:
        token_ids: The text's, special tokens included.
        opening: Special tokens that the tokenizer puts before every text; the first of them also replaces the first
            token of each window.
        context_window: Most tokens the model takes; None where there is no limit.
        window_tokens: How long windows are to be, as far as model and text allow; None: as llama.cpp's.

    Raises:
        EvalTextError: The text is too short.
    """
    if len(token_ids) < MIN_TOKENS:
        raise EvalTextError(f"the evaluation text has {len(token_ids)} tokens; {MIN_TOKENS} are the least")
    asked = min(window_tokens or WINDOW_TOKENS, _MAX_TOKENS)
    length = min(asked, context_window or asked, len(token_ids))
    n_windows = min(len(token_ids) // length, MAX_WINDOWS, _MAX_TOKENS // length)
    pieces = (token_ids[index * length : (index + 1) * length] for index in range(n_windows))
    return Windows(tuple((*opening[:1], *piece[len(opening[:1]) :]) for piece in pieces))
