"""Whether a server reads a prompt again that it has read before: seen by the time it takes, as not every one tells."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import Enum

_WORDS = (24, 240)
"""About 70 tokens; where reading them is too quick to be told from the way there and back, ten times as many."""
_LEAST_RATIO = 2


class PromptCache(Enum):
    """What it does with a prompt that comes again; the value is a sentence's end."""

    READ_ANEW = "read anew each time, as seen"
    UNTIL_ANOTHER = "kept until another comes, as seen: one is sent before each trial"
    KEPT = "kept, as seen"


def observe(first_token_ns: Callable[[str], int]) -> PromptCache | None:
    """Have a few texts read, some of them twice; return None where the times tell nothing.

    Args:
        first_token_ns: Has the server read a text, and returns the time until its first token.
    """
    for n_words in _WORDS:
        least_ns = min(first_token_ns(_new_text(1)) for _ in range(2))
        text = _new_text(n_words)
        fresh_ns = min(first_token_ns(_new_text(n_words)), first_token_ns(text))
        if fresh_ns < _LEAST_RATIO * least_ns:
            continue
        between_ns = (least_ns + fresh_ns) / 2
        if first_token_ns(text) > between_ns:
            return PromptCache.READ_ANEW
        first_token_ns(_new_text(n_words))
        return PromptCache.UNTIL_ANOTHER if first_token_ns(text) > between_ns else PromptCache.KEPT
    return None


def another_prompt() -> str:
    """Return a short text that no server has read before."""
    return _new_text(1)


def _new_text(n_words: int) -> str:
    return " ".join(secrets.token_hex(4) for _ in range(n_words))
