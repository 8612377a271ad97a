"""What figures need of a method or of its run: who shows them asks here, and not what kind of method it is."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from tuibench.core.run.endpoint import is_endpoint


class Need(Enum):
    """What a figure cannot be had without."""

    PREDICTIONS = "quality cannot be measured through an endpoint"
    """The probabilities of all tokens; its value says why there is no figure where they are lacking."""
    OWN_PROCESS = "the memory of a server's process cannot be read from here"
    """A worker that holds the model: what is known of a client's process is not of the method."""
    WATCHED_MACHINE = "its machine was not watched"
    """Conditions that are read on the machine that computes."""
    FILLED_CACHE = "a server's KV-cache cannot be filled beforehand"
    """A KV-cache that holds a text of a given length before the clock starts."""
    RUNG = "it is not a rung of the ladder"
    """A place among the methods that build on each other, which what others made stands apart from."""
    SEVERAL_USERS = "one user was served at a time"
    """Not of the method but of what was asked of the run."""
    COMPARED_PREDICTIONS = "quality was not measured"
    """Not of the method but of the run's results: predictions of some method beside the reference's."""
    GUESSES = "no method guessed tokens"
    """Likewise: some method that guesses tokens ahead."""


_KINDS: tuple[tuple[Callable[[str], bool], frozenset[Need]], ...] = (
    (
        is_endpoint,
        frozenset({Need.PREDICTIONS, Need.OWN_PROCESS, Need.WATCHED_MACHINE, Need.FILLED_CACHE, Need.RUNG}),
    ),
)
"""Kinds of rows, told by their names, and what all of a kind lack; a row of no kind lacks nothing."""


def lacks(method: str, need: Need) -> bool:
    """Return whether a method can never have what is needed, whatever is measured of it."""
    return any(need in lacking for is_of_kind, lacking in _KINDS if is_of_kind(method))
