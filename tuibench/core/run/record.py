"""What is kept of a trial: raw numbers only, in the order and under the names of the session file."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tuibench.core.machine.validity import Lamp
from tuibench.core.run.events import FailureKind, FinishReason, Phase
from tuibench.core.run.kv_cache import KvCacheSize
from tuibench.core.run.shape import Shape


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a trial has no result."""

    kind: FailureKind
    phase: Phase
    """What was going on."""
    message: str
    """One sentence."""
    log_tail: str = ""
    """The end of the worker's log."""


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finished trial, successful or not. A number that does not exist is None and is not written."""

    method: str
    index: int
    """Counts within the method; warm-up trials are numbered apart."""
    warmup: bool = False
    prompt_tokens: int | None = None
    """With the four below, what was asked for in a sweep, as in `Shape`; None in a run of one shape."""
    depth_tokens: int | None = None
    max_new_tokens: int | None = None
    n_threads: int | None = None
    n_users: int | None = None
    """None where there is one."""

    n_prompt: int | None = None
    prompt_text_sha256: str | None = None
    """Of the text that became tokens: the prompt within its chat template. None in sessions of older versions."""
    finish_reason: FinishReason | None = None
    failure_kind: FailureKind | None = None
    failure_phase: Phase | None = None
    failure_message: str | None = None
    log_tail: str | None = None

    load_ns: int | None = None
    """With what follows the memory figures, told once per worker: None for a turn that found the model loaded."""
    prepare_ns: int | None = None
    tokenise_ns: int | None = None
    prefill_ns: int | None = None
    ttft_ns: int | None = None
    step_ns: tuple[int, ...] = ()
    """Every gap between consecutive tokens, first to last."""
    sampling_ns: int | None = None
    """What of the time to the first token and of the gaps went into picking tokens from logits."""
    users_ttft_ns: tuple[int, ...] = ()
    """With the four below, of a trial of several users, whose `step_ns` are the gaps between steps, whoever had a
    token; `token_ids`, `piece_chars` and `text` are theirs one after the other. See `core.run.users`."""
    users_n_gen: tuple[int, ...] = ()
    """Tokens; of a method that hands out text, pieces of it."""
    users_first: tuple[int, ...] = ()
    """The step that gave each user the first token; steps that are nobody's first one gave one to all then active."""
    step_users: tuple[int, ...] = ()
    """Where users share no step, whose token each step gave; `users_first` is then empty."""
    users_n_told: tuple[int, ...] = ()
    """`n_told` of each."""
    ttft_limit_ns: int | None = None
    """With the next one, what goodput asks for."""
    tpot_limit_ns: int | None = None
    token_ids: tuple[int, ...] = ()
    """Empty for a method that hands out text: `step_ns` and `piece_chars` are then of pieces, of one token or more."""
    piece_chars: tuple[int, ...] = ()
    """Characters that each token added to `text`; what is left over came with the end."""
    n_told: int | None = None
    """Tokens generated, of a method that hands out text."""
    n_cached: int | None = None
    """Tokens of the prompt that a server had from an earlier request; None where nobody tells."""
    server_timings: tuple[str, ...] = ()
    """What a server says that it took, as `name: value`, for who wants to hold it against what arrived here."""
    text: str = ""

    prepare_peak_bytes: int | None = None
    """High-water marks of the worker's resident memory at the end of each phase, since the process began: they rise."""
    load_peak_bytes: int | None = None
    prefill_peak_bytes: int | None = None
    peak_rss_bytes: int | None = None
    """At the end of decoding."""
    rss_anon_bytes: int | None = None
    rss_file_bytes: int | None = None
    artifact_bytes: int | None = None
    weight_bytes: int | None = None
    kv_bytes_per_token: int | None = None
    """With the three below, as in `KvCacheSize`; None for a method without a KV-cache."""
    kv_sliding_bytes_per_token: int | None = None
    kv_window: int | None = None
    kv_fixed_bytes: int | None = None
    parameters: int | None = None
    context_window: int | None = None
    worker_cpu_ns: int | None = None
    observer_cpu_ns: int | None = None
    """CPU time of the process that watched, inside the timed window."""
    n_model_steps: int | None = None
    """With the two below, as in `GuessCounts`; None for a method that does not guess."""
    n_guessed: int | None = None
    n_guessed_right: int | None = None
    facts: tuple[str, ...] = ()
    """What decides the speed here, as `name: value`."""
    validity: tuple[str, ...] = ()
    """Reasons to distrust the figures; empty when none was seen."""
    lamp: Lamp | None = None
    """How bad the worst of them is; None where conditions were not watched (a failed trial, an older version)."""
    energy_uj: int | None = None
    """What the processor packages used, everything that ran on them included."""

    finished: datetime
    """Time zone included. Written last, so that a record cut short cannot pass for a whole one."""

    @property
    def shape(self) -> Shape | None:
        """What was asked for; None in a run of one shape."""
        if self.max_new_tokens is None or self.n_threads is None:
            return None
        return Shape(
            prompt_tokens=self.prompt_tokens,
            depth_tokens=self.depth_tokens or 0,
            max_new_tokens=self.max_new_tokens,
            n_threads=self.n_threads,
            n_users=self.n_users or 1,
        )

    @property
    def failed(self) -> bool:
        """Whether the trial has no result."""
        return self.failure_kind is not None

    @property
    def n_gen(self) -> int:
        """Tokens generated; an EOS that ends a free generation is not counted."""
        return len(self.token_ids) if self.n_told is None else self.n_told

    @property
    def text_only(self) -> bool:
        """Whether what came were pieces of text, whose tokens nobody knows."""
        return not self.token_ids and (bool(self.piece_chars) or self.n_told is not None)

    @property
    def duration_ns(self) -> int:
        """What it took, with the loading that it was told to have waited for."""
        return (self.load_ns or 0) + (self.ttft_ns or 0) + sum(self.step_ns)

    @property
    def kv_cache(self) -> KvCacheSize | None:
        """What the KV-cache takes; None for a method without one, and for a turn that found the model loaded."""
        if self.kv_bytes_per_token is None:
            return None
        return KvCacheSize(
            bytes_per_token=self.kv_bytes_per_token,
            sliding_bytes_per_token=self.kv_sliding_bytes_per_token or 0,
            window=self.kv_window,
            fixed_bytes=self.kv_fixed_bytes or 0,
        )

    def pieces(self) -> list[str]:
        """Return the text that each token added, as it was streamed."""
        pieces: list[str] = []
        start = 0
        for n_chars in self.piece_chars:
            pieces.append(self.text[start : start + n_chars])
            start += n_chars
        return pieces

    def sharing(self, earlier: TrialRecord) -> TrialRecord:
        """Return the record with what an earlier one says, too, kept once.

        A greedy method says the same in every trial; without this, a run of many would grow by all of it.
        """
        said = ("token_ids", "piece_chars", "text", "facts")
        again = {name: getattr(earlier, name) for name in said if getattr(earlier, name) == getattr(self, name)}
        return msgspec.structs.replace(self, **again)


class QualityRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a method's predictions are from the reference's, teacher-forced on one text.

    Definitions are llama.cpp's (`llama-perplexity --kl-divergence`). `_se` is the standard error of what it follows.
    """

    method: str
    eval_name: str
    """The text, without its folder."""
    eval_sha256: str
    n_scored: int | None = None
    """Positions that the figures are taken over."""

    perplexity: float | None = None
    perplexity_se: float | None = None
    kld_mean: float | None = None
    """KL(reference ‖ method) per token, in nats."""
    kld_mean_se: float | None = None
    kld_median: float | None = None
    kld_p99: float | None = None
    kld_max: float | None = None
    delta_p_mean: float | None = None
    """Probability of the right token, method − reference, as a fraction."""
    delta_p_mean_se: float | None = None
    delta_p_rms: float | None = None
    delta_p_rms_se: float | None = None
    top1: float | None = None
    """Share of positions where both find the same token the most likely."""
    top1_se: float | None = None

    window_tokens: int | None = None
    """How long the windows of the text were; None where they were llama.cpp's, 512 tokens or less."""
    depths: tuple[int, ...] = ()
    """With the three below, the figures by context position, where windows were long: from each of these positions up
    to the next, or to the window's end."""
    depth_klds: tuple[float, ...] = ()
    depth_kld_ses: tuple[float, ...] = ()
    depth_top1s: tuple[float, ...] = ()

    duration_ns: int | None = None
    reference_bytes: int | None = None
    """Size of the stored reference predictions."""
    reference: str | None = None
    """How they were computed, where that was not with all weights in memory in FP32."""
    failure_kind: FailureKind | None = None
    failure_message: str | None = None

    finished: datetime
    """Time zone included, written last, as in a trial's record."""

    @property
    def failed(self) -> bool:
        """Whether there are no figures."""
        return self.failure_kind is not None
