"""In which order the trials of a run take place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
    turns: list[Turn] = []
    for index in range(n_trials):
        round_ = methods if index % 2 == 0 else tuple(reversed(methods))
        turns.extend(Turn(method, index) for method in round_)
    return tuple(turns)
