"""Watching the trials of a run: what happened on the machine while each of them was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tuibench.core.machine.validity import (
    Conditions,
    Disturbance,
    Lamp,
    doubts_between,
    energy_uj,
    lamp_of,
    standstill_doubt,
    without_pause,
)
from tuibench.machine.conditions import read_conditions
from tuibench.machine.effective_cpus import effective_cpus


@dataclass(frozen=True, slots=True)
class TrialHealth:
    """What was seen of one trial."""

    reasons: tuple[str, ...]
    """Why its figures are doubtful, the worst first."""
    lamp: Lamp | None
    """None where it was not watched to its end."""
    energy_uj: int | None = None


class Watch:
    """Watches the trials of one run."""

    def __init__(self, n_threads: int, read: Callable[[int], Conditions] = read_conditions) -> None:
        """Note what is doubtful about every trial of the run.

        Args:
            n_threads: Threads of each worker.
            read: Takes a reading while the worker with this process id waits.
        """
        found = effective_cpus().doubt(n_threads)
        self.known = (Disturbance(Lamp.RED if found[1] else Lamp.YELLOW, found[0]),) if found else ()
        self.read = read
        self.fastest_khz = 0
        """That a trial ended with so far."""

    def begin(self, worker_pid: int) -> TrialWatch:
        """Take a reading before a trial, with its worker loaded and idle."""
        return TrialWatch(self, worker_pid)

    def give_up(self) -> TrialHealth:
        """Return what is known of a trial that failed."""
        return TrialHealth(tuple(doubt.reason for doubt in self.known), None)


class TrialWatch:
    """Watches one trial, in which others may have their turns."""

    def __init__(self, run: Watch, worker_pid: int) -> None:
        """Take the first reading; `Watch.begin` does."""
        self._run = run
        self._pid = worker_pid
        self._before = run.read(worker_pid)
        self._paused: Conditions | None = None

    def pause(self) -> None:
        """Take a reading at the end of a turn."""
        self._paused = self._run.read(self._pid)

    def go_on(self) -> None:
        """Take a reading before the next turn."""
        if self._paused is not None:
            self._before = without_pause(self._before, self._paused, self._run.read(self._pid))
            self._paused = None

    def end(self, stood_still_ns: int | None = None) -> TrialHealth:
        """Take the last reading, and judge the trial.

        Args:
            stood_still_ns: What the worker says of itself, as in `TrialFinished`.
        """
        before, after = self._before, self._run.read(self._pid)
        if after.clock_khz is not None:
            # An idle core may be slow. The fastest that a trial of this run ended with is what this one can lose.
            self._run.fastest_khz = max(self._run.fastest_khz, after.clock_khz)
            before = replace(before, clock_khz=self._run.fastest_khz)
        still = standstill_doubt(stood_still_ns)
        found = (*self._run.known, *doubts_between(before, after), *([still] if still else ()))
        doubts = sorted(found, key=lambda doubt: doubt.lamp is not Lamp.RED)
        return TrialHealth(tuple(doubt.reason for doubt in doubts), lamp_of(doubts), energy_uj(before, after))
