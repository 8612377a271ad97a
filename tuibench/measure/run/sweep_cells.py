"""What is particular to a run of several shapes: workers that serve more than one, and shapes that cannot be."""

from __future__ import annotations

from operator import attrgetter

import msgspec

from tuibench.core import format as fmt
from tuibench.core.run.events import EngineReady, FailureKind
from tuibench.core.run.needs import Need, lacks
from tuibench.core.run.plan import Turn
from tuibench.core.run.record import TrialRecord
from tuibench.core.run.shape import Shape, Sweep
from tuibench.measure.run.workers import Workers


class SharedWorkers:
    """The workers of one round: each serves all shapes that have its threads, and the next round begins with others.

    So the trials of a cell are of different processes, as in a run of one shape, and a model is loaded once a round.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._round: tuple[int, int] | None = None
        self._served: dict[str, int] = {}
        """By method, the longest text that its worker has held."""

    async def begin(self, turn: Turn) -> None:
        """Go on with the shape of this turn: workers of another round, or with other threads, end."""
        n_threads = turn.shape.n_threads if turn.shape else self._workers.n_threads
        if (turn.index, n_threads) != self._round:
            await self._workers.end()
            self._served.clear()
            self._workers.n_threads = n_threads
            self._round = turn.index, n_threads

    def has(self, method: str) -> bool:
        """Return whether the method's worker is at hand, warmed up."""
        return method in self._served and self._workers.ready(method) is not None

    def told_once(self, record: TrialRecord) -> TrialRecord:
        """Return a record without what its worker said before, or holds from a longer text than its own."""
        longest = self._served.get(record.method)
        if record.failed:
            self._served.pop(record.method, None)
            return record
        of_each = (record.n_prompt or 0) + (0 if record.warmup else record.depth_tokens or 0)
        length = of_each * (record.n_users or 1) + record.n_gen
        self._served[record.method] = max(length, longest or 0)
        if longest is None:
            return record
        record = msgspec.structs.replace(record, load_ns=None, prepare_ns=None, prepare_peak_bytes=None)
        if longest <= length:
            return record
        return msgspec.structs.replace(record, peak_rss_bytes=None, prefill_peak_bytes=None)


def spare_tokens(shape: Shape, sweep: Sweep, method: str, ready: EngineReady | None, free_bytes: int | None) -> int:
    """Return by how much the longest text of a sweep that a method can read behind this depth is longer than the shape.

    Args:
        shape: What is asked of the method now.
        sweep: All that is asked of it.
        method: Its name.
        ready: What its worker said; None where it is not loaded.
        free_bytes: What is free of its machine's memory; None where that is not known.
    """
    if not shape.depth_tokens or shape.n_users > 1:
        return 0
    axes = attrgetter("depth_tokens", "n_threads", "n_users")
    behind = [each for each in sweep.shapes() if axes(each) == axes(shape)]
    lengths = [each.known_tokens for each in behind if why_impossible(each, method, ready, free_bytes) is None]
    return max([*lengths, shape.known_tokens]) - shape.known_tokens


def why_impossible(
    shape: Shape, method: str, ready: EngineReady | None, free_bytes: int | None
) -> tuple[FailureKind, str] | None:
    """Return why a method cannot be asked for a shape; None where it can, or nobody knows yet.

    Args:
        shape: What is to be asked of it.
        method: Its name.
        ready: What its worker said when its model was loaded; None where it is not.
        free_bytes: What is free of its machine's memory; None where that is not known.
    """
    if shape.depth_tokens and lacks(method, Need.FILLED_CACHE):
        return FailureKind.UNSUPPORTED, f"{Need.FILLED_CACHE.value}: leave --depth out"
    if ready is None:
        return None
    if shape.n_users > 1 and shape.depth_tokens and not ready.shares_steps:
        return (
            FailureKind.UNSUPPORTED,
            "it has one KV-cache, which cannot be filled for several users beforehand: leave --depth out",
        )
    length = shape.known_tokens
    if ready.context_window is not None and length > ready.context_window:
        parts = f"depth {shape.depth_tokens} + prompt {shape.prompt_tokens or 0} + {shape.max_new_tokens} new"
        return (
            FailureKind.BAD_INPUT,
            f"{parts} = {length} tokens, and the model's window holds {ready.context_window}",
        )
    n_caches = shape.n_users if ready.shares_steps else 1
    needed_bytes = n_caches * (ready.kv_cache.at(length) if ready.kv_cache else 0)
    if free_bytes is not None and needed_bytes > free_bytes:
        what = f"the KV-cache of {length} tokens takes"
        if n_caches > 1:
            what = f"{n_caches} users' KV-caches of {length} tokens take"
        return (FailureKind.OUT_OF_MEMORY, f"{what} {fmt.size(needed_bytes)} and {fmt.size(free_bytes)} are free")
    return None
