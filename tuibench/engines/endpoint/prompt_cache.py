"""Whether a server reads a prompt again that it has read before: seen by the time it takes, as not every one tells."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from enum import Enum, auto

_MOST_CHARS = 500
"""Of the text that is tried: about 120 tokens, more than a block of most caches."""
_LEAST_RATIO, _LEAST_GAP_NS = 2, 20_000_000
"""By how much reading the text must exceed reading next to nothing, to be told from it."""
_MOST_S = 30.0
"""That trying may take; it is given up as soon as it has taken so long."""


class PromptCache(Enum):
    """What a server does with a prompt that comes again."""

    READ_ANEW = auto()
    UNTIL_ANOTHER = auto()
    KEPT = auto()


class _TooSlowError(Exception):
    """Trying takes too long."""


def observe(prompt: str, first_token_ns: Callable[[str], int]) -> PromptCache | None:
    """Have texts like a prompt read, one of them again and again; return None where the times tell nothing.

    Of each reading the quicker of two counts: nothing makes a server quicker than what it has to do.

    Args:
        prompt: What is to be measured.
        first_token_ns: Has the server read a text, and returns the time until its first token.
    """
    until_s = time.monotonic() + _MOST_S

    def quickest_ns(text: Callable[[], str], before: Callable[[], str] | None = None) -> int:
        found = []
        for _ in range(2):
            if before is not None:
                first_token_ns(before())
            found.append(first_token_ns(text()))
            if time.monotonic() > until_s:
                raise _TooSlowError
        return min(found)

    def new_text() -> str:
        return f"{another_prompt()} {prompt[:_MOST_CHARS]}"

    text = new_text()
    try:
        least_ns, fresh_ns = quickest_ns(another_prompt), min(quickest_ns(new_text), first_token_ns(text))
        if fresh_ns < _LEAST_RATIO * least_ns or fresh_ns - least_ns < _LEAST_GAP_NS:
            return None
        between_ns = (least_ns + fresh_ns) / 2
        if quickest_ns(lambda: text) > between_ns:
            return PromptCache.READ_ANEW
        displaced = quickest_ns(lambda: text, before=another_prompt) > between_ns
    except _TooSlowError:
        return None
    return PromptCache.UNTIL_ANOTHER if displaced else PromptCache.KEPT


def another_prompt() -> str:
    """Return a short text that no server has read before."""
    return secrets.token_hex(4)
