"""In which order the trials of a run take place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from tuibench.core.run.shape import Shape

MAX_TURNS = 200_000
"""More than any run takes; what reads sessions relies on it."""

_TURN_NS = 50_000_000
"""Short, so that a neighbour's burst or the machine's drift hits all methods alike: most noise is slower than a step of
a model, and the shorter the turns, the less of it remains (`tests/campaigns/planted.py`). Long enough that what a turn
begins with (cold caches, threads that sleep) is a small part of it."""
MOST_TURN_TOKENS = 16

_LAST = 3
"""Rounds that end an odd number of them: no two can be mirrored without one being left."""


class Cell(NamedTuple):
    """One method under one shape."""

    method: str
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One measured trial of one method."""

    method: str
    index: int
    """The round that it belongs to: each method has one turn a round, in a sweep one of each shape."""
    shape: Shape | None = None
    """None in a run of one shape."""

    @property
    def cell(self) -> Cell:
        """What is measured, whichever round it is."""
        return Cell(self.method, self.shape)


def trial_order(methods: Sequence[str], n_trials: int) -> tuple[Turn, ...]:
    """Return the turns of a run, in an order in which slow drift of the machine (heat, a neighbour) hits all alike.

    Drift that is linear in the turns cancels where each method's positions in its rounds add up to the same: such
    tables of permutations are Kotzig arrays (Wallis 2001, Magic Graphs, §2.2). Rounds come in mirrored pairs, forward
    and backward in the Thue–Morse sequence (A B, B A, B A, A B, …), so that of a curved drift little is left, too.
    An odd number of rounds ends with a triple that cancels; for an even number of methods no such triple exists, and
    the sums differ by the least they can, one position over all rounds.

    It cancels in what adds logarithms up over rounds, as `stats.ratio_by_round` does. In medians of three trials no
    order cancels it: the round in the middle decides, and two methods cannot have one place in it.
    """
    return tuple(turn for index in range(n_trials) for turn in trial_round(methods, index, n_trials))


def sweep_order(methods: Sequence[str], shapes: Sequence[Shape], n_trials: int) -> tuple[Turn, ...]:
    """Return the turns of a run of several shapes: each round holds all of them, each with all methods side by side."""
    return tuple(
        turn
        for index in range(n_trials)
        for shape in shape_round(shapes, index)
        for turn in trial_round(methods, index, n_trials, shape)
    )


def shape_round(shapes: Sequence[Shape], index: int) -> tuple[Shape, ...]:
    """Return the shapes in the order of a round: forward and backward, so that slow drift hits all alike."""
    return tuple(shapes if index.bit_count() % 2 == 0 else reversed(shapes))


def trial_round(methods: Sequence[str], index: int, n_planned: int, shape: Shape | None = None) -> tuple[Turn, ...]:
    """Return one round of the order above; what is added after the planned rounds begins again with mirrored pairs.

    Args:
        methods: All of the run; where some need no more rounds, those that do.
        index: Of the round, counted from 0.
        n_planned: Rounds that were planned.
        shape: What is asked of them in a sweep.
    """
    first_of_last = n_planned - _LAST
    if n_planned % 2 and first_of_last >= 0 and first_of_last <= index < n_planned:
        positions = _balanced_triple(len(methods))[index - first_of_last]
        ordered = [method for _, method in sorted(zip(positions, methods, strict=True))]
    else:
        since = index if index < n_planned else index - n_planned
        ordered = list(methods if since.bit_count() % 2 == 0 else reversed(methods))
    return tuple(Turn(method, index, shape) for method in ordered)


def by_round(turns: Iterable[Turn]) -> dict[int, tuple[Turn, ...]]:
    """Return planned turns by their round, in the order they have within it."""
    rounds: dict[int, list[Turn]] = {}
    for turn in turns:
        rounds.setdefault(turn.index, []).append(turn)
    return {index: tuple(found) for index, found in rounds.items()}


def _balanced_triple(n_methods: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Return each method's position in three rounds, with sums that are equal, or differ by one for an even number.

    The second round halves the first one's positions; two rounds then have sums that all differ, and the third ranks
    them the other way round.
    """
    first = range(n_methods)
    second = [(n_methods - 1) // 2 - i // 2 if i % 2 == 0 else n_methods - 1 - i // 2 for i in first]
    latest_first = sorted(first, key=lambda i: -(first[i] + second[i]))
    third = [0] * n_methods
    for position, method in enumerate(latest_first):
        third[method] = position
    return first, second, third


def turn_tokens(step_ns: Sequence[int]) -> int:
    """Return how many tokens a method generates before another has its turn, given some of its steps."""
    return min(max(1, round(_TURN_NS / median(step_ns))), MOST_TURN_TOKENS)
