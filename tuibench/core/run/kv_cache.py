"""How large a KV-cache is at which length."""

from __future__ import annotations

import msgspec


class KvCacheSize(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What each token adds to a KV-cache, as the engine that holds it counts it."""

    bytes_per_token: int
    """Over the layers that look back at every token."""
    sliding_bytes_per_token: int = 0
    """Over the layers that look back only so far."""
    window: int | None = None
    """How far those look, in tokens."""
    fixed_bytes: int = 0
    """States of convolutions and recurrences, which do not grow."""

    def at(self, length: int) -> int:
        """Return the bytes that `length` tokens need, which is also what decoding the next token reads."""
        recent = length if self.window is None else min(length, self.window)
        return self.bytes_per_token * length + self.sliding_bytes_per_token * recent + self.fixed_bytes

    def mean_over(self, lengths: range) -> float:
        """Return the mean of `at` over lengths, at least one, that follow each other."""
        within = len(lengths) if self.window is None else min(max(self.window + 1 - lengths.start, 0), len(lengths))
        recent = sum(lengths[:within]) + (self.window or 0) * (len(lengths) - within)
        read_bytes = self.bytes_per_token * sum(lengths) + self.sliding_bytes_per_token * recent
        return (read_bytes + self.fixed_bytes * len(lengths)) / len(lengths)
