"""The piece of a page around the words that are looked for, readable in one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CUT = "…"
_SENTENCE_END = ". "
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_SIGNS = re.compile(r"[`*]")
"""What Markdown writes around words."""
_LINE_SIGN = re.compile(r"^(?:#+|-) +")
_OWN_LINES = ("|", "#", "- ", "```")
"""How a line begins that does not go on with the one before."""


def excerpt(words: str, page: str, width: int) -> str | None:
    """Return what stands around some words, cut at words and filling the width; None where they are nowhere.

    Args:
        words: In small letters.
        page: As Markdown, of which nothing is left in what is returned.
        width: Letters that there is room for.
    """
    found = ((passage, passage.casefold().find(words)) for passage in _passages(page))
    return next((_around(passage, at, at + len(words), width) for passage, at in found if at >= 0), None)


def _passages(page: str) -> Iterator[str]:
    """Yield paragraphs, items of lists and rows of tables, each as one line."""
    gathered: list[str] = []
    for line in (*page.splitlines(), ""):
        if gathered and (not line.strip() or line.lstrip().startswith(_OWN_LINES)):
            yield _plain(" ".join(gathered))
            gathered = []
        if line.strip():
            gathered.append(line.strip())


def _plain(line: str) -> str:
    if line.startswith("|"):
        line = " · ".join(cell.strip() for cell in line.strip("|").split("|") if cell.strip())
    return _SIGNS.sub("", _LINK.sub(r"\1", _LINE_SIGN.sub("", line)))


def _around(passage: str, first: int, last: int, width: int) -> str:
    """Return the sentence that holds these letters, as much of it as there is room for, and what follows."""
    room = width - 2 * (len(_CUT) + 1)
    before = passage.rfind(_SENTENCE_END, 0, first)
    start = 0 if before < 0 else before + len(_SENTENCE_END)
    end = passage.find(" ", last)
    if (len(passage) if end < 0 else end) - start > room:
        start = _word_from(passage, first - room // 3)
    if len(passage) - start < width:  # rather what comes before than a line half blank
        start = min(start, _word_from(passage, len(passage) - width + len(_CUT) + 1))
    begins = not start or passage[:start].endswith(_SENTENCE_END)
    shown = passage[start:] if begins else f"{_CUT} {passage[start:]}"
    return shown if len(shown) <= width else f"{shown[: width - 1].rpartition(' ')[0]} {_CUT}"


def _word_from(passage: str, at: int) -> int:
    """Return where the first whole word begins at a place or after it."""
    return 0 if at <= 0 else passage.find(" ", at - 1) + 1
