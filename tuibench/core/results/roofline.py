"""How much of the machine's read bandwidth a method's decoding uses, and what that says about making it faster.

A token is decoded once all weights and the whole KV-cache have been read, so bandwidth ÷ bytes is the speed that no
single-stream decoder exceeds while they come from memory (Williams et al. 2009; "MBU": Databricks 2023).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tuibench.core.machine.fingerprint import MachineHeader
from tuibench.core.results.metrics import DECODE, TOKENS_PER_STEP, summarise
from tuibench.core.run.kv_cache import KvCacheSize
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.users import users_of

_MEMORY_BOUND = 0.6
"""llama.cpp reaches 0.84–0.95 where memory is the limit; kernels for few bits per weight less."""
_PARTLY = 0.35
_BEYOND = 1.05
"""Above the roof by more than its measurement scatters."""
_PARTLY_CACHED = 4
"""So many times what the caches hold are read with some of it coming from there: they do not simply keep the latest."""


class Bound(StrEnum):
    """What limits the speed of decoding."""

    MEMORY = "memory"
    PARTLY_MEMORY = "partly-memory"
    COMPUTE = "compute"
    """Arithmetic, or the time between operations."""
    CACHE = "cache"
    """The weights stay in the processor's cache: memory is not the limit."""
    UNKNOWN = "unknown"
    """Faster than the roof, which therefore is wrong."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """One method under one machine's roof."""

    bytes_per_token: float
    """Weights, and the KV-cache at the mean length of the decoding steps; shared by the tokens that one step yields."""
    kv_bytes: float
    mbu: float
    """Bytes per token × decode speed ÷ read bandwidth, all with the same threads."""
    bound: Bound
    sentence: str

    @property
    def doubts_bandwidth(self) -> bool:
        """Whether memory was read faster than the bandwidth says, and no cache explains it: measure that again."""
        return self.mbu > 1 and self.bound is not Bound.CACHE


def roofline(
    records: Iterable[TrialRecord], machine: MachineHeader, n_threads: int, speed_tps: float | None = None
) -> Roofline | None:
    """Return where a method stands; None unless speed, weights and bandwidth are all known.

    Args:
        records: The method's measured trials and, for what is told only once, its warm-up trials.
        machine: What they ran on, its bandwidth measured with `n_threads`.
        n_threads: Threads of the worker.
        speed_tps: The median decode speed of the measured trials, where it is known already.
    """
    known = list(records)
    measured = [record for record in known if not record.warmup and not record.failed]
    if speed_tps is None:
        speed = summarise(DECODE, measured)
        speed_tps = speed.median if speed else None
    weight_bytes = next((record.weight_bytes for record in known if record.weight_bytes is not None), None)
    if speed_tps is None or weight_bytes is None or not machine.read_bytes_per_s:
        return None
    kv_cache = next((record.kv_cache for record in known if record.kv_cache is not None), None)
    kv_bytes = _mean_kv_bytes(kv_cache, measured)
    bytes_per_token = (weight_bytes + kv_bytes) / _tokens_per_step(measured)
    mbu = bytes_per_token * speed_tps / machine.read_bytes_per_s
    bound = _bound(mbu, bytes_per_token, machine.caches_in_use_bytes(n_threads))
    sentence = _sentence(mbu, bound, bytes_per_token, machine, n_threads, cached=kv_cache is not None)
    return Roofline(bytes_per_token, kv_bytes, mbu, bound, sentence)


def _tokens_per_step(measured: list[TrialRecord]) -> float:
    """Return how many tokens share one reading of the weights: more than 1 only where tokens are guessed."""
    guesses = any(record.n_model_steps is not None for record in measured[:1])
    found = summarise(TOKENS_PER_STEP, measured) if guesses else None
    return found.median if found else 1


def _mean_kv_bytes(kv_cache: KvCacheSize | None, measured: list[TrialRecord]) -> float:
    """Return what a step of a trial reads of the cache on average; the trials of one run have one length."""
    record = next((record for record in measured if record.n_prompt is not None and record.step_ns), None)
    if kv_cache is None or record is None or record.n_prompt is None:
        return 0
    user = users_of(record)[0]
    lengths = range(record.n_prompt + 1, record.n_prompt + 1 + len(user.step_ns))
    n_caches = 1 if record.step_users else record.n_users or 1
    return n_caches * kv_cache.mean_over(lengths)


def _bound(mbu: float, bytes_per_token: float, cached_bytes: int | None) -> Bound:
    if mbu > 1 and cached_bytes and bytes_per_token <= cached_bytes:
        return Bound.CACHE
    if mbu > _BEYOND:
        return Bound.UNKNOWN
    if mbu >= _MEMORY_BOUND:
        return Bound.MEMORY
    return Bound.PARTLY_MEMORY if mbu >= _PARTLY else Bound.COMPUTE


def _sentence(
    mbu: float, bound: Bound, bytes_per_token: float, machine: MachineHeader, n_threads: int, *, cached: bool
) -> str:
    share = f"{100 * mbu:.0f} % of this machine's read bandwidth"
    cached_bytes = machine.caches_in_use_bytes(n_threads) or 0
    match bound:
        case Bound.MEMORY if mbu > 1:
            return f"{share}, above 100 % by no more than its measurement scatters: memory-bound"
        case Bound.MEMORY:
            return f"{share}: memory-bound; fewer bytes per weight help, more threads {_threads(machine, n_threads)}"
        case Bound.PARTLY_MEMORY:
            return f"{share}: fewer bytes per weight help in part, so would faster kernels"
        case Bound.COMPUTE if not cached:
            return f"{share}: compute-bound, as the whole sequence is computed again for each token; a KV-cache helps"
        case Bound.COMPUTE:
            return f"{share}: compute- or overhead-bound; faster or fewer kernels help, fewer bytes per weight do not"
        case Bound.CACHE:
            return (
                f"{share}: not bound by memory, for the {bytes_per_token / 1e6:.0f} MB that a token reads fit into the "
                f"cache of {cached_bytes / 1e6:.0f} MB"
            )
        case Bound.UNKNOWN:
            return f"{share}, {_why_beyond(bytes_per_token, machine, cached_bytes)}"


def _why_beyond(bytes_per_token: float, machine: MachineHeader, cached_bytes: int) -> str:
    if machine.first_read_bytes_per_s is None:
        return "which cannot be: the bandwidth was measured while something else ran; measure it again"
    if bytes_per_token > _PARTLY_CACHED * cached_bytes:
        return "measured twice: something else read memory both times, but not during the trials"
    return (
        f"measured twice: of the {bytes_per_token / 1e6:.0f} MB that a token reads, some stay in the cache of "
        f"{cached_bytes / 1e6:.0f} MB"
    )


def _threads(machine: MachineHeader, n_threads: int) -> str:
    """Say what more threads would do: the roof is that of the threads used, which one core seldom holds up alone."""
    n_cores = machine.n_cores_effective or machine.n_cpus_effective
    return "do not" if n_threads >= n_cores else f"may, up to the {n_cores} cores"
