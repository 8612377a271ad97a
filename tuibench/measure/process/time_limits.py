"""How long a worker may take: the limits of each phase, and when one of them is reached."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tuibench.core.run.events import FailureKind, Phase

LOOK_S = 1.0
"""Longest time between two looks at a worker that keeps silent."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Longest waits, in seconds, before a worker counts as stuck."""

    phase_s: dict[Phase, float] = field(
        default_factory=lambda: {
            Phase.START: 60,
            Phase.PREPARE: 1800,
            Phase.LOAD: 600,
            Phase.IDLE: 60,
            Phase.PREFILL: 600,
            Phase.QUALITY: 600,
        }
    )
    """For `QUALITY` between two reports of progress: a longer text may take longer."""
    token_s: float = 300
    """Between two tokens."""
    decode_s: float | None = None
    """For all tokens together; None sets no limit, since more tokens may take longer."""
    heartbeat_s: float = 60
    """Without any event: the process is stopped, or native code blocks the interpreter."""
    terminate_s: float = 2
    """Between SIGTERM and SIGKILL."""

    @classmethod
    def uniform(cls, seconds: float) -> TimeLimits:
        """Return limits where each phase may take `seconds`."""
        return cls(phase_s=dict.fromkeys(Phase, seconds), token_s=seconds, decode_s=seconds)


class Deadlines:
    """The phase that a worker is in, and how long it may still keep silent there.

    Only time in which it was watched counts. Where nobody looked for longer than `LOOK_S` – this process was stopped
    by Ctrl+Z, frozen together with its worker, or held up by a terminal that takes no more – the worker may have said
    all that it should have, or was not allowed to.
    """

    def __init__(self, limits: TimeLimits) -> None:
        """Begin with the start of the worker; a running event loop gives the time."""
        self._limits = limits
        self.enter(Phase.START)

    def enter(self, phase: Phase) -> None:
        """Begin a phase, or the same one anew."""
        self.phase = phase
        self._phase_since_s = self._token_since_s = self._heard_s = self._looked_s = _now_s()

    def token(self) -> None:
        """Note a token."""
        if self.phase is not Phase.DECODE:
            self.enter(Phase.DECODE)
        self._token_since_s = _now_s()

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard_s = _now_s()

    def look(self) -> float:
        """Return how long the worker may still keep silent, in seconds; to be called before and after each wait."""
        now_s = _now_s()
        unwatched_s = now_s - self._looked_s - LOOK_S
        if unwatched_s > LOOK_S:  # a loop that is merely busy is late by less
            self._phase_since_s += unwatched_s
            self._token_since_s += unwatched_s
            self._heard_s += unwatched_s
        self._looked_s = now_s
        return min(self._deadline_s(), self._heard_s + self._limits.heartbeat_s) - now_s

    def verdict(self) -> tuple[FailureKind, str]:
        """Return what to say of a worker that was silent for as long as it may be."""
        if _now_s() >= self._deadline_s():
            since_s = _now_s() - self._phase_since_s
            return FailureKind.TIMED_OUT, f"{self.phase} took longer than {since_s:.0f} s"
        return FailureKind.HUNG, f"no sign of life for {self._limits.heartbeat_s:.0f} s during {self.phase}"

    def _deadline_s(self) -> float:
        if self.phase is not Phase.DECODE:
            return self._phase_since_s + self._limits.phase_s[self.phase]
        deadlines_s = [self._token_since_s + self._limits.token_s]
        if self._limits.decode_s is not None:
            deadlines_s.append(self._phase_since_s + self._limits.decode_s)
        return min(deadlines_s)


def _now_s() -> float:
    """Return the event loop's clock: for time-outs, never for a measurement."""
    return asyncio.get_running_loop().time()
