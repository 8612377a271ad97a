"""Watching the trials of a run: what happened on the machine while each of them was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tuibench.core.validity import Conditions, Doubt, Lamp, doubts_between, energy_uj, lamp_of, standstill_doubt
from tuibench.measure.conditions import read_conditions
from tuibench.measure.effective_cpus import effective_cpus


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of one trial."""

    reasons: tuple[str, ...]
    """Why its figures are doubtful, the worst first."""
    lamp: Lamp | None
    """None where it was not watched to its end."""
    energy_uj: int | None = None


class Watch:
    """Watches one run, trial after trial."""

    def __init__(self, n_threads: int, read: Callable[[int], Conditions] = read_conditions) -> None:
        """Note what is doubtful about every trial of the run.

        Args:
            n_threads: Threads of each worker.
            read: Takes a reading while the worker with this process id waits.
        """
        found = effective_cpus().doubt(n_threads)
        self._known = (Doubt(Lamp.RED if found[1] else Lamp.YELLOW, found[0]),) if found else ()
        self._read = read
        self._before: Conditions | None = None
        self._fastest_khz = 0

    def begin(self, worker_pid: int) -> None:
        """Take a reading before a trial, with its worker loaded and idle."""
        self._pid = worker_pid
        self._before = self._read(worker_pid)

    def give_up(self) -> Watched:
        """Return what is known of a trial that failed."""
        self._before = None
        return Watched(tuple(doubt.reason for doubt in self._known), None)

    def end(self, stood_still_ns: int | None = None) -> Watched:
        """Take a reading after the trial that `begin` was called for, and judge it.

        Args:
            stood_still_ns: What the worker says of itself, as in `TrialFinished`.
        """
        before, self._before = self._before, None
        if before is None:
            return self.give_up()
        after = self._read(self._pid)
        if after.clock_khz is not None:
            # An idle core may be slow. The fastest that a trial of this run ended with is what this one can lose.
            self._fastest_khz = max(self._fastest_khz, after.clock_khz)
            before = replace(before, clock_khz=self._fastest_khz)
        still = standstill_doubt(stood_still_ns)
        found = (*self._known, *doubts_between(before, after), *([still] if still else ()))
        doubts = sorted(found, key=lambda doubt: doubt.lamp is not Lamp.RED)
        return Watched(tuple(doubt.reason for doubt in doubts), lamp_of(doubts), energy_uj(before, after))
