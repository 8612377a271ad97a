"""Each metric, declared once: tables, exports, colours and help read these rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import fmean, median

from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.users import UserTrial, shared_decoding, token_ids_of_users, users_of


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
    needs: tuple[Need, ...] = ()
    """What no trial has it without."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A metric over the trials of one method."""

    median: float
    low: float
    high: float
    n: int


def ttft_ns(record: TrialRecord) -> float | None:
    """Return the time to the first token; of several users the mean, each counted from when they came."""
    return fmean(record.users_ttft_ns) if record.users_ttft_ns else record.ttft_ns


def tpot_ns(record: TrialRecord) -> float | None:
    """Return the mean gap after the first token; None below two tokens.

    Of pieces of text, the tokens are those told: how many the first piece held is not known, and it is taken for one.
    Of several users, it is the mean over them.
    """
    if record.users_ttft_ns:
        gaps = [gap for user in users_of(record) if (gap := _tpot_of(user)) is not None]
        return fmean(gaps) if gaps else None
    gaps_ns = record.step_ns
    n_gaps = len(gaps_ns) if record.n_told is None else record.n_told - 1
    return sum(gaps_ns) / n_gaps if gaps_ns and n_gaps > 0 else None


def speed_tps(gap_ns: float | None) -> float | None:
    """Return 1 ÷ TPOT in tokens per second; None without one."""
    return 1e9 / gap_ns if gap_ns else None


def decode_tps(record: TrialRecord) -> float | None:
    """Return 1 ÷ TPOT in tokens per second; TTFT is never folded in."""
    return speed_tps(tpot_ns(record))


def total_decode_tps(record: TrialRecord) -> float | None:
    """Return the tokens of all users after their first ones ÷ the time of the steps that brought them, without prompts.

    In a sweep, where numbers of users stand side by side, it is one user's decode speed; None elsewhere.
    """
    if not record.users_ttft_ns:
        return decode_tps(record) if record.shape is not None else None
    n_tokens, decode_ns = shared_decoding(record)
    return n_tokens * 1e9 / decode_ns if decode_ns else None


def goodput_tps(record: TrialRecord) -> float | None:
    """Return the tokens of those users whose TTFT and TPOT keep the limits ÷ the time of all; None without limits."""
    ttft_limit_ns, tpot_limit_ns = record.ttft_limit_ns, record.tpot_limit_ns
    if ttft_limit_ns is None and tpot_limit_ns is None:
        return None
    n_good = sum(
        user.n_gen
        for user in users_of(record)
        if (ttft_limit_ns is None or user.ttft_ns <= ttft_limit_ns)
        and (tpot_limit_ns is None or (_tpot_of(user) or 0) <= tpot_limit_ns)
    )
    return n_good * 1e9 / ((record.ttft_ns or 0) + sum(record.step_ns))


def _tpot_of(user: UserTrial) -> float | None:
    return sum(user.step_ns) / (user.n_gen - 1) if user.step_ns and user.n_gen > 1 else None


def prefill_tps(record: TrialRecord) -> float | None:
    """Return prompt tokens ÷ prefill time."""
    if not record.prefill_ns or record.n_prompt is None:
        return None
    return (record.n_users or 1) * record.n_prompt * 1e9 / record.prefill_ns


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
    compute=ttft_ns,
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
TOTAL_DECODE = Metric(
    "total_decode_tps", "total decode", "tok/s", larger_is_better=True,
    formula="all users together: tokens after their first ones ÷ time of the steps that brought them",
    compute=total_decode_tps, needs=(Need.SEVERAL_USERS,),
)  # fmt: skip
GOODPUT = Metric(
    "goodput_tps", "goodput", "tok/s", larger_is_better=True,
    formula="tokens of those users whose TTFT and TPOT keep the limits ÷ (first request → last token)",
    compute=goodput_tps, needs=(Need.SEVERAL_USERS,),
)  # fmt: skip
LOAD = Metric(
    "load_ns", "load", "ns", larger_is_better=False,
    formula="worker process started → ready for a request, without preparation", compute=attrgetter("load_ns"),
    needs=(Need.OWN_PROCESS,),
)  # fmt: skip
PEAK_RSS = Metric(
    "peak_rss_bytes", "peak RSS", "bytes", larger_is_better=False,
    formula="the kernel's high-water mark of the worker's resident memory (VmHWM), not a poll",
    compute=attrgetter("peak_rss_bytes"), needs=(Need.OWN_PROCESS,),
)  # fmt: skip
SIZE = Metric(
    "artifact_bytes", "size", "bytes", larger_is_better=False,
    formula="files that the method loads its weights from", compute=attrgetter("artifact_bytes"),
    needs=(Need.OWN_PROCESS,),
)  # fmt: skip
ACCEPTANCE = Metric(
    "acceptance_rate", "accepted", "share", larger_is_better=True,
    formula="guessed tokens that were right ÷ guessed tokens", compute=acceptance_rate, needs=(Need.GUESSES,),
)  # fmt: skip
TOKENS_PER_STEP = Metric(
    "tokens_per_step", "tokens/step", "tokens", larger_is_better=True,
    formula="mean accepted length: tokens decoded ÷ steps of the model, 1 where no guess was right",
    compute=tokens_per_step, needs=(Need.GUESSES,),
)  # fmt: skip

METRICS = (
    TTFT, PREFILL, TPOT, DECODE, OUTPUT, LOAD, PEAK_RSS, SIZE, ACCEPTANCE, TOKENS_PER_STEP, TOTAL_DECODE, GOODPUT,
)  # fmt: skip


def of_method(metrics: Iterable[Metric], method: str) -> tuple[Metric, ...]:
    """Return those of some metrics that a method may have."""
    return tuple(metric for metric in metrics if not any(lacks(method, need) for need in metric.needs))


def summarise(metric: Metric, records: Iterable[TrialRecord]) -> Summary | None:
    """Return the median and the range of a metric over measured trials; None when no trial has it."""
    values = [value for record in records if (value := metric.compute(record)) is not None]
    if not values:
        return None
    return Summary(median(values), min(values), max(values), len(values))


def first_divergence(record: TrialRecord, reference: TrialRecord) -> int | None:
    """Return the index of the first token that differs; None when one output is the beginning of the other.

    Where either of them is text only, it is the index of the first character. Of several users, it is the lowest index
    at which what one of them was told differs.
    """
    if record.text_only or reference.text_only:
        return _first_difference(record.text, reference.text)
    told = zip(token_ids_of_users(record), token_ids_of_users(reference), strict=False)
    found = [_first_difference(ours, theirs) for ours, theirs in told]
    return min((index for index in found if index is not None), default=None)


def _first_difference(ours: Sequence[object], theirs: Sequence[object]) -> int | None:
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((index for index, (our, their) in pairs if our != their), None)
