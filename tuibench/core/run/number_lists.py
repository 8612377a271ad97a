"""Lists of numbers as llama-bench writes them: `64,512`, `1-4`, `64-512+64`, `1-8*2`."""

from __future__ import annotations

import re

_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?:([+*])(\d{1,18}))?)?")
MOST_NUMBERS = 1000
MOST_TOKENS = 200_000
"""More than any context window holds is a slip."""


class NumberListError(ValueError):
    """A list says nothing, or too much; the message says what would do."""


def numbers_in(text: str, *, least: int, most: int) -> tuple[int, ...]:
    """Return the numbers of a list, each once, in the order in which they come.

    Args:
        text: Numbers and ranges, separated by commas.
        least: The smallest number that may come.
        most: The largest.

    Raises:
        NumberListError: It is not such a list, names no number, or has a range that does not end.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        for number in _range(part.strip()):
            if not least <= number <= most:
                raise NumberListError(f"{number} is too {'small' if number < least else 'large'}: {least} to {most}")
            found[number] = None
            if len(found) > MOST_NUMBERS:
                raise NumberListError(f"more than {MOST_NUMBERS} numbers; give larger steps")
    return tuple(found)


def _range(part: str) -> list[int]:
    match = _RANGE.fullmatch(part)
    if match is None:
        what = "a number is missing" if not part else f"{part!r} is neither a number nor a range"
        raise NumberListError(f"{what}; write for example 64,512 or 64-512+64 or 1-8*2")
    first, last, operator = int(match[1]), int(match[2] or match[1]), match[3] or "+"
    step = int(match[4] or 1)
    if last < first:
        raise NumberListError(f"{part} ends before it begins")
    if last > first and (step == 0 or (operator == "*" and (step == 1 or first == 0))):
        raise NumberListError(f"{part} never ends")
    numbers = [first]
    while (following := numbers[-1] * step if operator == "*" else numbers[-1] + step) <= last and last > first:
        numbers.append(following)
        if len(numbers) > MOST_NUMBERS:
            raise NumberListError(f"{part} has more than {MOST_NUMBERS} numbers; give a larger step")
    return numbers
