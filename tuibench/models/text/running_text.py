"""Prompts of a given length, and what stands before them: cut from a text, so that they are text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tuibench.models.text.tokenizer import PromptError, PromptTokenizer


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a running text."""

    text: str
    token_ids: tuple[int, ...]
    """As they are in the running text: the part alone may be tokenised otherwise where it is cut."""


@lru_cache(maxsize=64)  # all trials of a sweep ask for the same few parts
def cut(tokenizer: PromptTokenizer, text: str, start: int, n_tokens: int, skipped: int = 0) -> Cut:
    """Return `n_tokens` tokens from token number `start` on; a text that is too short is repeated.

    The first tokens of all are those that the tokenizer begins every text with, where it does, whatever is skipped.

    Args:
        tokenizer: The model's.
        text: What is cut.
        start: Counted from what the tokenizer begins with.
        n_tokens: How many.
        skipped: So many of the text's own tokens are left to others.

    Raises:
        PromptError: The text has no tokens, or some that the model has no embedding of.
    """
    whole, token_ids, ends, n_added = _repeated(tokenizer, text, skipped + start + n_tokens)
    first, last = (skipped + max(n_added, place) for place in (start, start + n_tokens))
    part = (*token_ids[:n_added][start : start + n_tokens], *token_ids[first:last])
    tokenizer.check_embedded(part)
    return Cut(whole[ends[first - 1] if first else 0 : ends[last - 1]], part)


def _repeated(tokenizer: PromptTokenizer, text: str, n_wanted: int) -> tuple[str, list[int], list[int], int]:
    """Return a text of more tokens than are wanted, its tokens, where each ends, and how many stand before the text."""
    paragraph = f"{text.strip()}\n\n"
    whole = paragraph
    while True:
        token_ids, ends, n_added = tokenizer.encode_with_ends(whole)
        if len(token_ids) > n_wanted:  # one more: the last may be one that the tokenizer ends every text with
            return whole, token_ids, ends, n_added
        if not text.strip() or not token_ids:
            raise PromptError("the text that prompts are cut from has no tokens")
        whole += paragraph * (1 + n_wanted // len(token_ids))
