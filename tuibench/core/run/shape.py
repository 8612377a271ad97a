"""What a run asks of a method: how long the prompt, at which depth, how many tokens, with how many threads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a sweep, whatever method fills it."""

    prompt_tokens: int | None = None
    """Tokens cut from a running text; None for a prompt that somebody wrote, whose length is what it is."""
    depth_tokens: int = 0
    """Tokens of the same text before the prompt, which the KV-cache holds already when the clock starts."""
    max_new_tokens: int
    n_threads: int
    n_users: int = 1

    @property
    def known_tokens(self) -> int:
        """Positions that a trial needs, without a prompt whose length is not known."""
        return self.depth_tokens + (self.prompt_tokens or 0) + self.max_new_tokens


AXES = ("prompt_tokens", "depth_tokens", "max_new_tokens", "n_threads", "n_users")
"""The fields of a shape, each an axis of a sweep."""

_WORDS = {
    "prompt_tokens": "prompt {}",
    "depth_tokens": "depth {}",
    "max_new_tokens": "{} new tokens",
    "n_threads": "{} threads",
    "n_users": "{} users",
}
_SIGNS = {"prompt_tokens": "p", "depth_tokens": "d", "max_new_tokens": "n", "n_threads": "t", "n_users": "u"}


WINDOW_TOKENS = 512
"""How long the windows of a text are that quality is measured on, unless longer texts are: llama.cpp's default."""
_LONGEST_WINDOW = 8192


class Sweep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Every combination of some prompt lengths, depths, output lengths and thread counts."""

    prompt_tokens: tuple[int, ...] = ()
    """Empty: the prompt that somebody wrote."""
    depth_tokens: tuple[int, ...] = (0,)
    max_new_tokens: tuple[int, ...]
    n_threads: tuple[int, ...]
    n_users: tuple[int, ...] = (1,)

    @property
    def n_shapes(self) -> int:
        """How many combinations there are."""
        n_shapes = max(1, len(self.prompt_tokens))
        for name in AXES[1:]:
            n_shapes *= len(getattr(self, name))
        return n_shapes

    def shapes(self) -> tuple[Shape, ...]:
        """Return every combination, those that share their threads next to each other."""
        prompts: Sequence[int | None] = self.prompt_tokens or (None,)
        axes = (self.n_threads, self.n_users, self.max_new_tokens, self.depth_tokens, prompts)
        return tuple(
            Shape(
                prompt_tokens=prompt_tokens,
                depth_tokens=depth_tokens,
                max_new_tokens=max_new_tokens,
                n_threads=n_threads,
                n_users=n_users,
            )
            for n_threads, n_users, max_new_tokens, depth_tokens, prompt_tokens in product(*axes)
        )

    @property
    def window_tokens(self) -> int | None:
        """How long the windows are that quality is measured on: the longest text of a cell fits into one.

        A power of two, so that runs share what was computed for others; None where llama.cpp's 512 tokens are enough.
        """
        longest = max(self.depth_tokens) + max(self.prompt_tokens, default=0) + max(self.max_new_tokens)
        return None if longest <= WINDOW_TOKENS else min(1 << (longest - 1).bit_length(), _LONGEST_WINDOW)

    @property
    def needs_text(self) -> bool:
        """Whether there is anything to cut from a running text."""
        return bool(self.prompt_tokens) or any(self.depth_tokens)


def swept_axes(shapes: Sequence[Shape]) -> tuple[str, ...]:
    """Return the fields in which shapes differ."""
    return tuple(name for name in AXES if len({getattr(shape, name) for shape in shapes}) > 1)


def describe(shape: Shape, names: Sequence[str] = AXES) -> str:
    """Return a shape in words, as `prompt 512, depth 0, 2 threads`.

    Args:
        shape: The shape.
        names: The fields that are of interest: mostly those in which it differs from others.
    """
    values = ((name, getattr(shape, name)) for name in names)
    return ", ".join(_in_words(name, value) for name, value in values if value is not None)


def describe_briefly(shape: Shape, names: Sequence[str] = AXES) -> str:
    """Return the same as `p512 d0 t2`, for where words have no room."""
    values = ((name, getattr(shape, name)) for name in names)
    return " ".join(f"{_SIGNS[name]}{value}" for name, value in values if value is not None)


def _in_words(name: str, value: int) -> str:
    words = _WORDS[name].format(value)
    return words.removesuffix("s") if value == 1 and name != "prompt_tokens" else words
