"""What a method must keep to be an answer."""

from __future__ import annotations

import msgspec

from tuibench.core import format as fmt


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bounds that are asked for; None asks for nothing."""

    max_kld: float | None = None
    """Mean divergence from FP32, in nats per token; None takes a method however far it drifts."""
    max_rss_bytes: int | None = None
    min_decode_tps: float | None = None
    max_ttft_ns: int | None = None


def limits_line(limits: Limits) -> str:
    """Return what is asked of a method."""
    asked = (
        limits.max_kld is not None and f"KLD ≤ {limits.max_kld:g}",
        limits.max_rss_bytes is not None and f"peak RSS ≤ {fmt.size_asked(limits.max_rss_bytes)}",
        limits.min_decode_tps is not None and f"decode ≥ {fmt.rate(limits.min_decode_tps)}",
        limits.max_ttft_ns is not None and f"TTFT ≤ {fmt.duration(limits.max_ttft_ns)}",
    )
    return ", ".join(part for part in asked if part) or "no limits"


SEARCH_NEW_TOKENS = 32
"""Of each trial of a search: enough to tell what differs, and many methods are tried."""
