"""Each metric, declared once: tables, exports, colours and help read these rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import median

from tuibench.core.run.record import TrialRecord


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that a trial has, or has not."""

    id: str
    short: str
    """Column heading."""
    unit: str
    """One of `ns`, `tok/s`, `bytes`, `share`, `tokens`: what `core.format` turns into text."""
    larger_is_better: bool
    formula: str
    compute: Callable[[TrialRecord], float | None]


@dataclass(frozen=True, slots=True)
class Summary:
    """A metric over the trials of one method."""

    median: float
    low: float
    high: float
    n: int


def tpot_ns(record: TrialRecord) -> float | None:
    """Return the mean gap after the first token; None below two tokens.

    Of pieces of text, the tokens are those told: how many the first piece held is not known, and it is taken for one.
    """
    gaps_ns = record.step_ns
    n_gaps = len(gaps_ns) if record.n_told is None else record.n_told - 1
    return sum(gaps_ns) / n_gaps if gaps_ns and n_gaps > 0 else None


def speed_tps(gap_ns: float | None) -> float | None:
    """Return 1 ÷ TPOT in tokens per second; None without one."""
    return 1e9 / gap_ns if gap_ns else None


def decode_tps(record: TrialRecord) -> float | None:
    """Return 1 ÷ TPOT in tokens per second; TTFT is never folded in."""
    return speed_tps(tpot_ns(record))


def prefill_tps(record: TrialRecord) -> float | None:
    """Return prompt tokens ÷ prefill time."""
    if not record.prefill_ns or record.n_prompt is None:
        return None
    return record.n_prompt * 1e9 / record.prefill_ns


def output_tps(record: TrialRecord) -> float | None:
    """Return generated tokens ÷ time from request to last token: mixes prefill and decode."""
    if record.ttft_ns is None:
        return None
    return record.n_gen * 1e9 / (record.ttft_ns + sum(record.step_ns))


def acceptance_rate(record: TrialRecord) -> float | None:
    """Return the share of guessed tokens that were right; None where nothing was guessed."""
    if not record.n_guessed or record.n_guessed_right is None:
        return None
    return record.n_guessed_right / record.n_guessed


def tokens_per_step(record: TrialRecord) -> float | None:
    """Return the mean number of tokens that a step of the model yielded; None for a method that does not guess."""
    if not record.n_model_steps or record.n_guessed_right is None:
        return None
    return 1 + record.n_guessed_right / record.n_model_steps


TTFT = Metric(
    "ttft_ns", "TTFT", "ns", larger_is_better=False,
    formula="request accepted by the worker → first token's text available (tokenisation + prefill + first sampling)",
    compute=attrgetter("ttft_ns"),
)  # fmt: skip
PREFILL = Metric(
    "prefill_tps", "prefill", "tok/s", larger_is_better=True,
    formula="prompt tokens ÷ time of the forward pass over the prompt", compute=prefill_tps,
)  # fmt: skip
TPOT = Metric(
    "tpot_ns", "TPOT", "ns", larger_is_better=False,
    formula="(last token − first token) ÷ (generated − 1)", compute=tpot_ns,
)  # fmt: skip
DECODE = Metric(
    "decode_tps", "decode", "tok/s", larger_is_better=True,
    formula="1 ÷ TPOT; the time to the first token is never folded in", compute=decode_tps,
)  # fmt: skip
OUTPUT = Metric(
    "output_tps", "output", "tok/s", larger_is_better=True,
    formula="generated tokens ÷ (request accepted → last token)", compute=output_tps,
)  # fmt: skip
LOAD = Metric(
    "load_ns", "load", "ns", larger_is_better=False,
    formula="worker process started → ready for a request, without preparation", compute=attrgetter("load_ns"),
)  # fmt: skip
PEAK_RSS = Metric(
    "peak_rss_bytes", "peak RSS", "bytes", larger_is_better=False,
    formula="the kernel's high-water mark of the worker's resident memory (VmHWM), not a poll",
    compute=attrgetter("peak_rss_bytes"),
)  # fmt: skip
SIZE = Metric(
    "artifact_bytes", "size", "bytes", larger_is_better=False,
    formula="files that the method loads its weights from", compute=attrgetter("artifact_bytes"),
)  # fmt: skip
ACCEPTANCE = Metric(
    "acceptance_rate", "accepted", "share", larger_is_better=True,
    formula="guessed tokens that were right ÷ guessed tokens", compute=acceptance_rate,
)  # fmt: skip
TOKENS_PER_STEP = Metric(
    "tokens_per_step", "tokens/step", "tokens", larger_is_better=True,
    formula="mean accepted length: tokens decoded ÷ steps of the model, 1 where no guess was right",
    compute=tokens_per_step,
)  # fmt: skip

METRICS = (TTFT, PREFILL, TPOT, DECODE, OUTPUT, LOAD, PEAK_RSS, SIZE, ACCEPTANCE, TOKENS_PER_STEP)
"""The last two only methods that guess have."""


def summarise(metric: Metric, records: Iterable[TrialRecord]) -> Summary | None:
    """Return the median and the range of a metric over measured trials; None when no trial has it."""
    values = [value for record in records if (value := metric.compute(record)) is not None]
    if not values:
        return None
    return Summary(median(values), min(values), max(values), len(values))


def first_divergence(record: TrialRecord, reference: TrialRecord) -> int | None:
    """Return the index of the first token that differs; None when one output is the beginning of the other.

    Where either of them is text only, it is the index of the first character.
    """
    if record.text_only or reference.text_only:
        return _first_difference(record.text, reference.text)
    return _first_difference(record.token_ids, reference.token_ids)


def _first_difference(ours: Sequence[object], theirs: Sequence[object]) -> int | None:
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((index for index, (our, their) in pairs if our != their), None)
