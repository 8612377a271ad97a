"""In which order the trials of a run take place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_TURNS = 200_000
"""More than any run takes; what reads sessions relies on it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One measured trial of one method."""

    method: str
    index: int


def trial_order(methods: Sequence[str], n_trials: int) -> tuple[Turn, ...]:
    """Return the turns of a run: methods forward in one round, backward in the next (A B B A A B …).

    Slow drift of the machine (heat, a neighbour) then hits all methods alike, and the method at the turn of a round
    keeps its worker, which saves a load.
    """
    return tuple(turn for index in range(n_trials) for turn in trial_round(methods, index))


def trial_round(methods: Sequence[str], index: int) -> tuple[Turn, ...]:
    """Return one round of the order above: forward where its index is even, else backward."""
    return tuple(Turn(method, index) for method in (methods if index % 2 == 0 else reversed(methods)))
