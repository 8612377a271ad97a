"""What a method must keep to be an answer."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bounds that are asked for; None asks for nothing."""

    max_kld: float | None = None
    """Mean divergence from FP32, in nats per token; None takes a method however far it drifts."""
    max_rss_bytes: int | None = None
    min_decode_tps: float | None = None
    max_ttft_ns: int | None = None
