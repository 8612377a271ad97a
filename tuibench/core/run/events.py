"""The facts that a worker reports, and their wire format: one JSON object a line, tagged by `event`.

Times are the worker's own `perf_counter_ns`, read next to the work; nobody else reads a clock for a measurement.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tuibench.core.machine.effective_cpus import EffectiveCpus
from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.machine.validity import Conditions
from tuibench.core.run.kv_cache import KvCacheSize

PROTOCOL_VERSION = 4
"""Raised whenever a parent and a worker of different age could misunderstand each other."""


class Phase(StrEnum):
    """What a worker is doing; each phase has its own time-out."""

    QUEUED = "queued"
    """Another machine is waited for, for as long as it takes: the time counts for nothing."""
    START = "start"
    PREPARE = "prepare"
    LOAD = "load"
    IDLE = "idle"
    PREFILL = "prefill"
    DECODE = "decode"
    QUALITY = "quality"


class FailureKind(StrEnum):
    """Why a trial has no result."""

    UNSUPPORTED = "unsupported"
    BAD_INPUT = "bad-input"
    ERROR = "error"
    OUT_OF_MEMORY = "out-of-memory"
    CRASHED = "crashed"
    KILLED = "killed"
    TIMED_OUT = "timed-out"
    HUNG = "hung"
    PROTOCOL = "protocol"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    DISCONNECTED = "disconnected"
    """The machine could not be reached, or no longer."""


class FinishReason(StrEnum):
    """Why a generation ended."""

    LENGTH = "length"
    EOS = "eos"
    WINDOW = "window"
    """Prompt and output together filled the model's context window."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """A process's memory as the kernel counts it (`/proc/self/status`); None where it does not."""

    peak_rss_bytes: int | None = None
    """High-water mark since the process began (VmHWM): no poll can miss it."""
    rss_bytes: int | None = None
    rss_anon_bytes: int | None = None
    rss_file_bytes: int | None = None


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    at_ns: int


class WorkerStarted(_Event, frozen=True, kw_only=True, tag="worker_started"):
    """The worker runs and speaks this protocol."""

    protocol: int
    pid: int


class MachineTold(_Event, frozen=True, kw_only=True, tag="machine"):
    """What the worker runs on, told before it loads anything."""

    machine: MachineHeader
    """Without the read bandwidth, which a process of its own measures."""
    cpus: EffectiveCpus


class ConditionsRead(_Event, frozen=True, kw_only=True, tag="conditions"):
    """The machine right before the next event: before and after a trial, and around the turns of others within it."""

    conditions: Conditions


class PhaseStarted(_Event, frozen=True, kw_only=True, tag="phase_started"):
    """The worker turned to something else."""

    phase: Phase


class PhaseProgressed(_Event, frozen=True, kw_only=True, tag="phase_progressed"):
    """A long phase moved on."""

    label: str
    done: int
    total: int | None = None


class EngineReady(_Event, frozen=True, kw_only=True, tag="engine_ready"):
    """The model is loaded and a trial may be requested."""

    load_ns: int | None = None
    """Worker start to ready, without preparation; None where the model was loaded before anybody watched."""
    prepare_ns: int | None = None
    """Export or quantisation done in this process; None when there was none to do."""
    parameters: int | None = None
    artifact_bytes: int | None = None
    weight_bytes: int | None = None
    context_window: int | None = None
    facts: dict[str, str] = {}
    """What decides the method's speed here: precision, kernels, libraries with their versions."""
    prepare_peak_bytes: int | None = None
    """The high-water mark when preparation was over."""
    kv_cache: KvCacheSize | None = None
    """What the method's KV-cache takes; None for a method without one."""
    shares_steps: bool | None = None
    """Whether several users' tokens come from one step, each with a cache; None where only one is asked for."""
    memory: Memory = Memory()


class TrialAccepted(_Event, frozen=True, kw_only=True, tag="trial_accepted"):
    """The worker read a trial request; TTFT counts from here."""


class PromptTokenised(_Event, frozen=True, kw_only=True, tag="prompt_tokenised"):
    """The prompt became token ids; prefill starts now."""

    n_prompt: int | None
    """None where only the server knows, which tells at the end."""
    text_sha256: str | None = None
    """Of the text that became tokens: the prompt within its chat template."""
    doubt: str | None = None
    """Which words of the prompt the model does not read, and why; None where it reads all."""


class TokenEmitted(_Event, frozen=True, kw_only=True, tag="token"):
    """One generated token; `at_ns` is read when its text is available."""

    index: int
    token_id: int
    text: str
    """May be empty: part of a character waits for the tokens that complete it."""


class StepEmitted(_Event, frozen=True, kw_only=True, tag="step"):
    """One step of a trial of several users, with a token for each who takes part; `at_ns` as with `TokenEmitted`.

    Of a method that hands out text, a piece of it for one of them; `at_ns` as with `PieceEmitted`.
    """

    index: int
    users: tuple[int, ...]
    token_ids: tuple[int, ...]
    """Empty of a method that hands out text."""
    texts: tuple[str, ...]


class UserArrived(_Event, frozen=True, kw_only=True, tag="user"):
    """One more user of a trial asks; their TTFT counts from here. Those who are not announced came at its beginning."""

    user: int


class PieceEmitted(_Event, frozen=True, kw_only=True, tag="piece"):
    """Some text, from a method that hands out no token ids; `at_ns` is read when it arrives."""

    index: int
    text: str
    n_tokens: int | None = None
    """Tokens in it, which all came at this time; None where that is not told."""


class TurnEnded(_Event, frozen=True, kw_only=True, tag="turn_ended"):
    """The trial waits, so that another worker can have the machine; `at_ns` is right after its latest token.

    Sent when none of the process's threads computes any more.
    """


class TurnBegan(_Event, frozen=True, kw_only=True, tag="turn_began"):
    """The trial goes on. The time since `TurnEnded` belongs to no token."""


class GuessCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How guessing ahead went in one generation, where a method does that."""

    n_steps: int
    """Steps of the model after the prompt."""
    n_guessed: int
    """Tokens guessed and checked."""
    n_accepted: int
    """Guessed tokens that were picked: they took no step of their own."""


class TrialFinished(_Event, frozen=True, kw_only=True, tag="trial_finished"):
    """The generation ended as it should."""

    finish_reason: FinishReason
    text_tail: str = ""
    """Text that the last tokens left incomplete."""
    prefill_ns: int | None = None
    """None where nobody tells it from the first step of decoding."""
    prefill_peak_bytes: int | None = None
    """The high-water mark when the prompt had been read."""
    cpu_ns: int | None = None
    """CPU time of all the worker's threads between acceptance and the last token; None if the model runs elsewhere."""
    n_prompt: int | None = None
    """With the two below, of a method that hands out text: as its server counted, else as `doubts` say."""
    n_gen: int | None = None
    users_n_gen: tuple[int, ...] = ()
    """The same of each of several users."""
    n_cached: int | None = None
    """Tokens of the prompt that were not computed, since an earlier request had them."""
    prompt_kept: bool = False
    """Whether some were not, of a server that does not tell how many."""
    server_timings: tuple[str, ...] = ()
    """As `TrialRecord` says."""
    doubts: tuple[str, ...] = ()
    """What to know before the figures are believed."""
    sampling_ns: int | None = None
    """Time spent picking tokens from logits, all tokens together: part of TTFT and of the gaps, not of the steps."""
    guesses: GuessCounts | None = None
    stood_still_ns: int | None = None
    """Time of the trial in which no thread computed or waited for a processor although the heartbeat was due: the
    process was stopped, frozen or held up by a disk. Stops shorter than a heartbeat may be missed."""
    memory: Memory = Memory()


class QualityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What `QualityRecord` says under the same names."""

    n_scored: int
    perplexity: float
    perplexity_se: float
    kld_mean: float
    kld_mean_se: float
    kld_median: float
    kld_p99: float
    kld_max: float
    delta_p_mean: float
    delta_p_mean_se: float
    delta_p_rms: float
    delta_p_rms_se: float
    top1: float
    top1_se: float
    window_tokens: int | None = None
    depths: tuple[int, ...] = ()
    depth_klds: tuple[float, ...] = ()
    depth_kld_ses: tuple[float, ...] = ()
    depth_top1s: tuple[float, ...] = ()


class QualityMeasured(_Event, frozen=True, kw_only=True, tag="quality_measured"):
    """The text is scored."""

    figures: QualityFigures
    duration_ns: int
    """Scoring alone, without making the reference."""
    reference_bytes: int
    reference: str | None = None
    """As `QualityRecord` says."""
    memory: Memory = Memory()


class Heartbeat(_Event, frozen=True, kw_only=True, tag="heartbeat"):
    """The process is alive, once a second, whatever it computes."""

    rss_bytes: int | None = None


class WorkerFailed(_Event, frozen=True, kw_only=True, tag="worker_failed"):
    """The worker cannot go on, and says why."""

    kind: FailureKind
    message: str
    memory: Memory = Memory()


Event = (
    WorkerStarted
    | MachineTold
    | ConditionsRead
    | PhaseStarted
    | PhaseProgressed
    | EngineReady
    | TrialAccepted
    | PromptTokenised
    | TokenEmitted
    | StepEmitted
    | UserArrived
    | PieceEmitted
    | TurnEnded
    | TurnBegan
    | TrialFinished
    | QualityMeasured
    | Heartbeat
    | WorkerFailed
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Return the event as one line, newline included."""
    return _encoder.encode(event) + b"\n"


def decode(line: bytes) -> Event:
    """Return the event that a line holds.

    Raises:
        msgspec.DecodeError: The line is not an event of this protocol (`ValidationError` is a subclass).
    """
    try:
        event: Event = _decoder.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    return event
