"""What the words of a command line stand for: a count, a share, a path, a model."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tuibench.core.run.number_lists import MOST_TOKENS

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

_MOST_THREADS = 4096
_INT_LIMIT = 1 << 63
"""No session file holds a larger number."""
_BYTES = {
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "m": 1 << 20,
    "g": 1 << 30,
}


def positive_int(text: str) -> int:
    """Return a count of at least one."""
    return _int_from(text, 1)


def token_counts(text: str) -> tuple[int, ...]:
    """Return numbers of tokens, at least one each."""
    return _numbers(text, 1, MOST_TOKENS)


def preset(text: str) -> str:
    """Return the name of a load."""
    from tuibench.core.run.presets import PRESETS  # noqa: PLC0415 - not needed for --help

    if text not in PRESETS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(PRESETS)}")
    return text


def one_token_count(text: str) -> tuple[int]:
    """Return one such number, where a list makes no sense."""
    return _only(token_counts(text))


def one_count(text: str) -> tuple[int]:
    """Return a count of threads, where a list makes no sense."""
    return _only(counts(text))


def _only(numbers: tuple[int, ...]) -> tuple[int]:
    if len(numbers) > 1:
        raise argparse.ArgumentTypeError("one number is wanted here; `tuibench run` takes several")
    return (numbers[0],)


def depths(text: str) -> tuple[int, ...]:
    """Return numbers of tokens that may be zero."""
    return _numbers(text, 0, MOST_TOKENS)


def counts(text: str) -> tuple[int, ...]:
    """Return counts of threads or users."""
    return _numbers(text, 1, _MOST_THREADS)


def _numbers(text: str, least: int, most: int) -> tuple[int, ...]:
    from tuibench.core.run.number_lists import NumberListError, numbers_in  # noqa: PLC0415 - not needed for --help

    try:
        return numbers_in(text, least=least, most=most)
    except NumberListError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def natural_int(text: str) -> int:
    """Return a count that may be zero."""
    return _int_from(text, 0)


def _int_from(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is too small: {least} or more")
    if value >= _INT_LIMIT:
        raise argparse.ArgumentTypeError(f"{value} is too large: less than 2**63")
    return value


def _float_in(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text} is not a {what}: {low:g} to {high:g}")
    return value


def temperature(text: str) -> float:
    """Return a sampling temperature."""
    return _float_in(text, 0, 100, "temperature")


def probability(text: str) -> float:
    """Return a probability mass above 0."""
    return _float_in(text, 1e-6, 1, "probability")


def precision(text: str) -> float:
    """Return a relative half-width, given as `5%` or `0.05`."""
    number = text.removesuffix("%")
    if number != text:
        return _float_in(number, 0.1, 100, "percentage") / 100
    try:
        return _float_in(text, 0.001, 1, "share")
    except argparse.ArgumentTypeError as error:
        try:
            precision(f"{text}%")
        except argparse.ArgumentTypeError:
            raise error from None
        raise argparse.ArgumentTypeError(f"{error}; did you mean {text}%?") from None


def seconds(text: str) -> float:
    """Return a duration."""
    return _float_in(text, 0.001, 1e7, "time in seconds")


def day(text: str) -> date:
    """Return a day."""
    from datetime import date  # noqa: PLC0415 - not needed for --help

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-29") from None


def speed(text: str) -> float:
    """Return how many times faster than it was recorded a replay is."""
    return _float_in(text, 0.001, 1e6, "speed")


def given(text: str) -> str:
    """Return what must not be left empty: an unset variable of a shell would mean something else than was meant."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; leave the option out, or say what is meant")
    return words(text)


def words(text: str) -> str:
    """Return what is shown and stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it is not UTF-8 text") from None
    return text


def given_path(text: str) -> Path:
    """Return a path, in whatever bytes."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; leave the option out, or name a path")
    from tuibench.paths import expanded  # noqa: PLC0415 - not needed for --help

    return expanded(text)


def model_name(text: str) -> str:
    """Return what a model is called here: the address of its page is its hub id."""
    from tuibench.models.local import ModelError  # noqa: PLC0415 - not needed for --help
    from tuibench.models.origin.page_address import hub_id  # noqa: PLC0415

    try:
        return hub_id(given(text))
    except ModelError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def session_name(text: str) -> str:
    """Return what a session is called: every name begins with an empty one."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; `tuibench sessions` lists what there is")
    return text


def percentage(text: str) -> float:
    """Return a share from 0 to 1, given in per cent: `5` or `5%`."""
    return _float_in(text.removesuffix("%"), 0, 100, "percentage") / 100


def divergence(text: str) -> float:
    """Return a KL divergence in nats per token."""
    return _float_in(text, 0, 100, "divergence in nats per token")


def rate(text: str) -> float:
    """Return a speed in tokens per second."""
    return _float_in(text, 1e-6, 1e9, "number of tokens per second")


def byte_count(text: str) -> int:
    """Return a size, given as `600MB`, `2GiB` or `1.5 GB`."""
    return round(_with_unit(text, _BYTES, "a size such as 600MB or 2GiB"))


def duration_ns(text: str) -> int:
    """Return a time, given as `200ms` or `1.5s`."""
    return round(_with_unit(text, {"ms": 10**6, "s": 10**9}, "a time such as 200ms or 1.5s"))


def _with_unit(text: str, units: Mapping[str, int], what: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return float(found[1]) * unit
