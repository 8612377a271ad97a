"""What a model reads of a prompt, and whether the prompt's words are in it.

Chat templates leave out what they do not expect, and tokenizers what they have no tokens for; the model then answers
something that nobody asked.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import islice

from tuibench.models.text.tokenizer import PromptTokenizer

_WORD = re.compile(r"\w+")
_MOST_WORDS = 2000
"""Different words that are looked for, from the beginning of a prompt."""
_PARTED_CHARS = 5
"""From this length on a word may also be read in parts; a shorter one could be found inside of another."""
_N_NAMED = 3
_SHOWN_CHARS = 24


@dataclass(frozen=True, slots=True)
class PromptReading:
    """A prompt as a model reads it."""

    text_sha256: str
    """Of the text that became tokens: the prompt within its chat template."""
    doubt: str | None
    """Which of the prompt's words are not in it, and why; None where all are."""


@lru_cache(maxsize=16)  # all trials of a run have one prompt, those of a sweep a few
def read_prompt(tokenizer: PromptTokenizer, prompt: str, *, raw: bool, today: date | None) -> PromptReading:
    """Return what a model reads of a prompt; arguments are those of `PromptTokenizer.encode`.

    Raises:
        ModelError: The chat template refuses the prompt.
        PromptError: It has tokens that the model has no embedding of.
    """
    text = tokenizer.rendered(prompt, raw=raw, today=today)
    token_ids = tokenizer.encode(prompt, raw=raw, today=today)
    tokenizer.check_embedded(token_ids)
    doubt = None
    if left_out := missing_words(prompt, text):
        doubt = f"{_some(left_out)}: its chat template leaves them out; without it (--raw) they are read"
    elif unknown := missing_words(prompt, tokenizer.read_back(token_ids)):
        doubt = f"{_some(unknown)}: its tokenizer has no tokens for them"
    return PromptReading(hashlib.sha256(text.encode()).hexdigest(), doubt)


def missing_words(prompt: str, read: str) -> list[str]:
    """Return the words of a prompt that are not in a text, in their order; case, accents and blanks make no difference.

    Tokenizers may lower, unaccent or part what they read: that is how their models know it.
    """
    words, there = _words(prompt), _words(read)
    letters, known = "".join(there), set(there)
    if "".join(words) in letters:
        return []
    return [
        word
        for word in islice(dict.fromkeys(words), _MOST_WORDS)
        if word not in known and (len(word) < _PARTED_CHARS or word not in letters)
    ]


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(char for char in decomposed if not unicodedata.combining(char)))


def _some(words: Sequence[str]) -> str:
    named = ", ".join(f'"{word[:_SHOWN_CHARS]}"' for word in words[:_N_NAMED])
    more = f" and {len(words) - _N_NAMED} more" if len(words) > _N_NAMED else ""
    return f"the model does not read these words of the prompt: {named}{more}"
