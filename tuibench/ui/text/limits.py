"""What the answer of a search must keep: presets, and the numbers behind them, as text and as what it means."""

from __future__ import annotations

from collections.abc import Mapping

from tuibench.core.run.limits import Limits
from tuibench.ui.text.settings import OWN, Field, between

FIELDS = (
    Field("KLD", "at most: divergence from FP32, in nats"),
    Field("memory", "MB of peak RSS at most"),
    Field("decode", "tokens per second at least"),
    Field("TTFT", "ms to the first token at most"),
)
PRESETS: Mapping[str, Limits] = {
    "close": Limits(max_kld=0.05),
    "closer": Limits(max_kld=0.005),
    "small": Limits(max_kld=0.05, max_rss_bytes=600_000_000),
    "prompt": Limits(max_kld=0.05, min_decode_tps=10.0, max_ttft_ns=500_000_000),
}
DEFAULT_PRESET = "close"
_MOST = {"KLD": 100.0, "memory": 1e8, "decode": 1e6, "TTFT": 1e7}


def texts(limits: Limits) -> dict[str, str]:
    """Return what stands in the fields."""
    numbers = {
        "KLD": limits.max_kld,
        "memory": None if limits.max_rss_bytes is None else limits.max_rss_bytes / 1e6,
        "decode": limits.min_decode_tps,
        "TTFT": None if limits.max_ttft_ns is None else limits.max_ttft_ns / 1e6,
    }
    return {name: "" if number is None else f"{number:g}" for name, number in numbers.items()}


def number(name: str, text: str) -> float | None:
    """Return the number in a field; None where nothing is asked for.

    Raises:
        SettingsError: It is not a number, or one that no method could keep.
    """
    most = _MOST[name]
    return between(name, text.strip(), lambda value: 0 < value <= most, f"more than 0, up to {most:g}, or nothing")


def parse(fields: Mapping[str, str]) -> Limits:
    """Return what is meant.

    Raises:
        SettingsError: As for `number`, of the first field that is wrong.
    """
    found = {field.name: number(field.name, fields[field.name]) for field in FIELDS}
    memory, ttft = found["memory"], found["TTFT"]
    return Limits(
        max_kld=found["KLD"],
        max_rss_bytes=None if memory is None else round(memory * 1e6),
        min_decode_tps=found["decode"],
        max_ttft_ns=None if ttft is None else round(ttft * 1e6),
    )


def preset_of(limits: Limits) -> str:
    """Return the preset that these are."""
    return next((name for name, each in PRESETS.items() if each == limits), OWN)
