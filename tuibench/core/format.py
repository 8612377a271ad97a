"""The only place where numbers become text."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tuibench.core.results.metrics import Metric, Summary
    from tuibench.core.statistics.stats import Ratio

MISSING = "–"
_KIB = 1024
_KB = 1000
_MIB = 1 << 20
_MB = 1_000_000
_TENTH_OF_MB = 100_000
_LEAST_DIVERGENCE = 0.00005


def duration(ns: float | None) -> str:
    """Return nanoseconds as µs, ms, s or min, to three digits."""
    if ns is None:
        return MISSING
    for limit, divisor, unit in ((1e6, 1e3, "µs"), (1e9, 1e6, "ms"), (120e9, 1e9, "s")):
        if ns < limit:
            return f"{_three_digits(ns / divisor)} {unit}"
    return f"{_three_digits(ns / 60e9)} min"


def rough_duration(ns: float) -> str:
    """Return an expected duration in whole seconds, minutes or hours: it is never known better."""
    seconds = ns / 1e9
    if seconds < 90:  # noqa: PLR2004
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004


def rate(tps: float | None) -> str:
    """Return tokens per second."""
    return MISSING if tps is None else f"{_three_digits(tps)} tok/s"


def size(n_bytes: float | None) -> str:
    """Return bytes in binary units."""
    if n_bytes is None:
        return MISSING
    value = float(n_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < _KB:
            return f"{_three_digits(value)} {unit}"
        value /= _KIB
    return f"{_three_digits(value)} GiB"


def size_asked(n_bytes: int) -> str:
    """Return a size that somebody typed in the kind of unit it was typed in: in MB where these come out even."""
    return f"{n_bytes / _MB:,.10g} MB" if _is_in_mb(n_bytes) else size(n_bytes)


def size_beside(n_bytes: float | None, asked_bytes: int) -> str:
    """Return a size to hold against one that somebody typed: in the same kind of unit, and another where it is."""
    if n_bytes is None or not _is_in_mb(asked_bytes):
        return size(n_bytes)
    text = f"{_three_digits(n_bytes / _MB)} MB"
    alike = text == size_asked(asked_bytes) and n_bytes != asked_bytes
    return f"{n_bytes / _MB:,.6g} MB" if alike else text


def _is_in_mb(asked_bytes: int) -> bool:
    return asked_bytes % _TENTH_OF_MB == 0 and asked_bytes % _MIB != 0


def count(n: float | None) -> str:
    """Return a count with thousands separated, or as M and G when it is long."""
    if n is None:
        return MISSING
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if n >= limit:
            return f"{_three_digits(n / limit)} {unit}"
    return f"{int(n):,}"


def counted(n: int | str | None, noun: str) -> str:
    """Return how many there are of something, in the singular where there is one."""
    return f"{n} {noun}" if str(n) == "1" else f"{MISSING if n is None else n} {noun}s"


def times(value: float | None) -> str:
    """Return a factor to three digits."""
    return MISSING if value is None else f"{_three_digits(value)}×"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval's ends in brackets; empty where there is none."""
    return "" if low is None or high is None else f"[{_three_digits(low)}, {_three_digits(high)}]"


def gain(found: Ratio | None) -> str:
    """Return a ratio with its interval; a question mark stands where there are too few trials for one."""
    return MISSING if found is None else f"{times(found.value)} {interval(found.low, found.high) or '[?]'}"


def change(fraction: float | None) -> str:
    """Return a relative change in per cent, with its sign."""
    if fraction is None:
        return MISSING
    percent = round(100 * fraction)
    return f"{'−' if percent < 0 else '+' if percent else '±'}{abs(percent)} %"


def share(fraction: float | None) -> str:
    """Return a share in per cent, to a tenth."""
    return MISSING if fraction is None else percent(fraction, 1)


def percent(fraction: float, n_decimals: int = 0) -> str:
    """Return a fraction in per cent."""
    return f"{100 * fraction:.{n_decimals}f} %"


def p_value(p: float) -> str:
    """Return how likely chance alone is to do as much: never 0, which no finite sample shows."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"  # noqa: PLR2004 - three decimals, as it is shown


def divergence(nats: float | None, standard_error: float | None = None) -> str:
    """Return a KL divergence, with its standard error where there is one; what rounds to nothing is 0."""
    if nats is None:
        return MISSING
    if abs(nats) < _LEAST_DIVERGENCE:
        return "0"
    if standard_error is None:
        return f"{nats:.4f}"
    error = "<0.0001" if standard_error < _LEAST_DIVERGENCE else f"{standard_error:.4f}"
    return f"{nats:.4f} ± {error}"


def clock(seconds: float | None) -> str:
    """Return a duration as m:ss, for countdowns."""
    if seconds is None:
        return MISSING
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def moment(when: datetime | None) -> str:
    """Return day and time as the clock of the reader's place shows them."""
    if when is None:
        return MISSING
    with suppress(OverflowError, ValueError):  # of the first or the last year, which elsewhere is another
        when = when.astimezone()
    return f"{when:%Y-%m-%d %H:%M}"


def metric(declared: Metric, value: float | None) -> str:
    """Return a metric's value with its unit."""
    match declared.unit:
        case "ns":
            return duration(value)
        case "tok/s":
            return rate(value)
        case "bytes":
            return size(value)
        case "share":
            return share(value)
        case _:
            return MISSING if value is None else _three_digits(value)


def summary(declared: Metric, found: Summary | None) -> str:
    """Return the median of a metric with its unit."""
    return metric(declared, found.median if found else None)


def shortened(text: str, n_chars: int) -> str:
    """Return the first line of a text, cut to `n_chars` characters with an ellipsis."""
    first, _, rest = text.strip().partition("\n")
    return first if len(first) <= n_chars and not rest else f"{first[: n_chars - 1]}…"


def printable(text: str) -> str:
    """Return text that no terminal acts on: control characters become visible, line ends and tabs stay.

    Model output, prompts and logs come from anywhere; an escape sequence in them could move the cursor, retitle the
    window or reach the clipboard.
    """
    return _HARMFUL.sub(_visible, text)


def printable_line(text: str) -> str:
    """Return text that no terminal acts on, in one line: line ends and tabs are visible, too, as in a file's name."""
    if text.isprintable():  # nearly always, and quicker to find out
        return text
    return _END_OR_TAB.sub(_visible, printable(text))


def as_text(name: str) -> str:
    """Return a name that can be written: Python hands on bytes that are not UTF-8 as half characters."""
    return _HALF_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", name)


def inert_json(text: str) -> str:
    """Return JSON that no terminal acts on and that means the same: what `printable` replaces is escaped."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# Controls but line ends and tabs, what changes the direction of writing, and half characters.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_END_OR_TAB = re.compile(r"[\n\t]")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_C0_PICTURES = 0x2400
_DELETE = 0x7F


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < ord(" "):
        return chr(_C0_PICTURES + code)
    return "␡" if code == _DELETE else "\N{REPLACEMENT CHARACTER}"


def _three_digits(value: float) -> str:
    if value < 9.995:  # noqa: PLR2004
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"  # noqa: PLR2004
