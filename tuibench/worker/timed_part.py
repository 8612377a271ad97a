"""The timed part of a trial: what is read of the worker right before and right after it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from tuibench.core.run.events import Event, FinishReason, GuessCounts, TrialFinished
from tuibench.machine.cpu_clocks import own_cpu_ns
from tuibench.worker.memory import own_memory
from tuibench.worker.stall_detector import StallDetector
from tuibench.worker.tell_machine import tell_conditions
from tuibench.worker.turns import Turns, rest


class TimedPart:
    """Begins when it is made; call `end`, then `finished`."""

    def __init__(self, emit: Callable[[Event], None], standstill: StallDetector, turns: Turns) -> None:
        """Take the first readings: the request is accepted next.

        Args:
            emit: Where events go.
            standstill: Looked at before and after.
            turns: Those of this worker.
        """
        self._emit, self._standstill, self._turns = emit, standstill, turns
        self._still_before_ns = standstill.look()
        tell_conditions(emit)
        turns.begin()
        self._cpu_start_ns = own_cpu_ns()

    def end(self) -> None:
        """Take the last readings."""
        self._cpu_ns = own_cpu_ns() - self._cpu_start_ns - self._turns.cpu_between_ns
        self._still_after_ns = self._standstill.look()
        self._memory = own_memory()
        tell_conditions(self._emit)
        self._ended_ns = perf_counter_ns()
        rest()

    def finished(
        self,
        reason: FinishReason,
        *,
        prefill_ns: int,
        prefill_peak_bytes: int,
        sampling_ns: int,
        text_tail: str = "",
        guesses: GuessCounts | None = None,
    ) -> TrialFinished:
        """Return the trial's last event."""
        return TrialFinished(
            at_ns=self._ended_ns,
            finish_reason=reason,
            text_tail=text_tail,
            prefill_ns=prefill_ns,
            prefill_peak_bytes=_at_most(prefill_peak_bytes, self._memory.peak_rss_bytes),
            cpu_ns=self._cpu_ns,
            sampling_ns=sampling_ns,
            guesses=guesses,
            stood_still_ns=_rise(self._still_before_ns, self._still_after_ns),
            memory=self._memory,
        )


def _rise(before_ns: int | None, after_ns: int | None) -> int | None:
    """Return how much a time has grown; None where it is not known."""
    return None if before_ns is None or after_ns is None else after_ns - before_ns


def _at_most(peak_bytes: int, later_peak_bytes: int | None) -> int:
    """Return a quick reading of the high-water mark, which never falls, below the exact one taken later."""
    return peak_bytes if later_peak_bytes is None else min(peak_bytes, later_peak_bytes)
