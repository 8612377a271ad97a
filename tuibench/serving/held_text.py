"""The text that an engine's KV-cache holds, and how much of the next prompt is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuibench.engines.base import ContinuingEngine

if TYPE_CHECKING:
    from tuibench.engines.base import Engine, Logits

_ROOM = 1024
"""Positions that a cache has room for beyond its prompt, or as many as the prompt has: memory is not set aside for a
whole window of 131,072 that no conversation reaches."""


class HeldText:
    """One engine, which reads no token twice that it can keep.

    Attributes:
        n_reused: Tokens of the latest prompt that were not read again.
    """

    def __init__(self, engine: Engine, window: int | None) -> None:
        """Take a loaded engine and the model's window, None where there is no limit."""
        self._engine = engine
        self._window = window
        self._held: list[int] = []
        self._capacity = 0
        self.n_reused = 0

    def read(self, prompt_ids: Sequence[int], n_new: int, *, reuse: bool) -> Logits:
        """Return the logits that follow a prompt.

        Where half of it or more is held, the rest is appended. Else the prompt is read as a whole, which takes most
        engines far less time a token than to append them.

        Args:
            prompt_ids: At least one.
            n_new: Most tokens that will follow.
            reuse: Whether to keep what is held; else the cache gets room for this text only, as in a measurement.
        """
        n_common = min(_n_common(self._held, prompt_ids), len(prompt_ids) - 1) if reuse else 0
        self._held, self.n_reused = list(prompt_ids), 0
        engine = self._engine
        worth_it = 2 * n_common >= len(prompt_ids) < self._capacity
        if worth_it and isinstance(engine, ContinuingEngine) and engine.keep(n_common, self._capacity):
            self.n_reused = n_common
            return engine.extend(prompt_ids[n_common:])
        return self._read_all(len(prompt_ids) + n_new, reuse=reuse)

    def decode(self, token_id: int) -> Logits:
        """Append one token and return the logits that follow it; a full cache is made anew, and larger."""
        self._held.append(token_id)
        if len(self._held) > self._capacity:
            return self._read_all(self._window or 2 * len(self._held), reuse=True)
        return self._engine.decode(token_id)

    def forget(self) -> None:
        """Hold nothing, for who knows what the cache holds after an error."""
        self._held, self._capacity = [], 0

    def _read_all(self, most: int, *, reuse: bool) -> Logits:
        n_tokens = len(self._held)
        least = n_tokens + max(n_tokens, _ROOM)
        self._capacity = least if reuse else min(most, least)
        if self._window is not None:
            self._capacity = max(min(self._capacity, self._window), n_tokens)
        return self._engine.prefill(self._held, self._capacity)


def _n_common(held: Sequence[int], wanted: Sequence[int]) -> int:
    pairs = zip(held, wanted, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(held), len(wanted)))
