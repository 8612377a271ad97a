"""Watching the trials of a run: what happened on the machine while each of them was measured."""

from __future__ import annotations

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
from tuibench.core.run.events import (
    ConditionsRead,
    Event,
    MachineTold,
    TrialAccepted,
    TrialFinished,
    TurnBegan,
    TurnEnded,
)


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

    def __init__(self, n_threads: int) -> None:
        """Begin.

        Args:
            n_threads: Threads of each worker.
        """
        self._n_threads = n_threads
        self.known: tuple[Disturbance, ...] = ()
        """What is doubtful about every trial of the run."""
        self.fastest_khz = 0
        """That a trial ended with so far."""

    def hear(self, event: Event) -> None:
        """Note what a worker tells of its machine before its trials."""
        if isinstance(event, MachineTold):
            found = event.cpus.doubt(self._n_threads)
            self.known = (Disturbance(Lamp.RED if found[1] else Lamp.YELLOW, found[0]),) if found else ()

    def begin(self) -> TrialWatch:
        """Watch a trial, whose worker is loaded and idle."""
        return TrialWatch(self)

    def give_up(self) -> TrialHealth:
        """Return what is known of a trial that failed, or whose worker does not tell its conditions."""
        return TrialHealth(tuple(doubt.reason for doubt in self.known), None)


class TrialWatch:
    """Watches one trial, in which others may have their turns."""

    def __init__(self, run: Watch) -> None:
        """Begin; `Watch.begin` does."""
        self._run = run
        self._latest: Conditions | None = None
        self._before: Conditions | None = None
        self._paused: Conditions | None = None
        self._after: Conditions | None = None

    def hear(self, event: Event) -> None:
        """Note what the worker tells: conditions belong to the event that follows."""
        match event:
            case ConditionsRead(conditions=conditions):
                self._latest = conditions
            case TrialAccepted():
                self._before = self._latest
            case TurnEnded():
                self._paused = self._latest
            case TurnBegan() if self._before and self._paused and self._latest:
                self._before = without_pause(self._before, self._paused, self._latest)
            case TrialFinished():
                self._after = self._latest
            case _:
                pass

    def end(self, stood_still_ns: int | None = None) -> TrialHealth:
        """Judge the trial.

        Args:
            stood_still_ns: What the worker says of itself, as in `TrialFinished`.
        """
        before, after = self._before, self._after
        if before is None or after is None:
            return self._run.give_up()
        if after.clock_khz is not None:
            # An idle core may be slow. The fastest that a trial of this run ended with is what this one can lose.
            self._run.fastest_khz = max(self._run.fastest_khz, after.clock_khz)
            before = replace(before, clock_khz=self._run.fastest_khz)
        still = standstill_doubt(stood_still_ns)
        found = (*self._run.known, *doubts_between(before, after), *([still] if still else ()))
        doubts = sorted(found, key=lambda doubt: doubt.lamp is not Lamp.RED)
        return TrialHealth(tuple(doubt.reason for doubt in doubts), lamp_of(doubts), energy_uj(before, after))
