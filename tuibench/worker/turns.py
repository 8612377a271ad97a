"""A trial in turns with those of other workers: waiting without using a processor, and going on."""

from __future__ import annotations

import time
from collections.abc import Callable
from time import perf_counter_ns

from tuibench.core.run.events import Event, TurnBegan, TurnEnded
from tuibench.core.run.spec import GoOnRequest, Request
from tuibench.machine.cpu_clocks import own_cpu_ns
from tuibench.worker.pipe import UnexpectedRequestError
from tuibench.worker.tell_machine import tell_conditions

_LOOK_S = 0.0005
_QUIET_SHARE = 0.3
"""Of one CPU between two looks: less is this thread looking, and one that spins uses all of one."""
_QUIET_LOOKS = 2
"""In a row: a thread that spins may wait for a processor all through one of them."""
_PATIENCE_S = 1.0
"""Thread pools that spin for work give up in less. One that never does is seen by the others as a neighbour is."""


class Turns:
    """The turns of one worker's trials."""

    def __init__(self, next_request: Callable[[], Request], emit: Callable[[Event], None]) -> None:
        """Say where requests come from and events go to."""
        self._next_request = next_request
        self._emit = emit
        self.cpu_between_ns = 0
        """CPU time that this process used between the turns of the trial, by spinning and by looking."""

    def begin(self) -> None:
        """Begin a trial."""
        self.cpu_between_ns = 0

    def after(self, n_tokens: int, turn_tokens: int | None) -> None:
        """Wait for the next turn if `n_tokens` tokens end one.

        Raises:
            UnexpectedRequestError: Something else was asked for.
        """
        if turn_tokens is None or n_tokens % turn_tokens:
            return
        ended_ns, cpu_ns = perf_counter_ns(), own_cpu_ns()
        tell_conditions(self._emit, ended_ns)  # what is still spinning belongs to the pause
        rest()
        self._emit(TurnEnded(at_ns=ended_ns))
        request = self._next_request()
        if not isinstance(request, GoOnRequest):
            raise UnexpectedRequestError(f"expected to go on with a trial, not {type(request).__name__}")
        tell_conditions(self._emit)
        self.cpu_between_ns += own_cpu_ns() - cpu_ns
        self._emit(TurnBegan(at_ns=perf_counter_ns()))


def rest() -> None:
    """Return when no thread of this process computes any more.

    Pools of threads go on spinning for a while after a step, in case that another follows: what is measured next would
    have less of the machine.
    """
    until_s, n_quiet = time.monotonic() + _PATIENCE_S, 0
    while n_quiet < _QUIET_LOOKS and time.monotonic() < until_s:
        before_ns, cpu_before_ns = perf_counter_ns(), own_cpu_ns()
        time.sleep(_LOOK_S)
        is_quiet = own_cpu_ns() - cpu_before_ns < _QUIET_SHARE * (perf_counter_ns() - before_ns)
        n_quiet = n_quiet + 1 if is_quiet else 0
