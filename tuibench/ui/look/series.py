"""Which accent colour and which letter belong to which method: the same on every screen, in every theme.

Those that are looked at together have different ones. Beyond eight, colours are near each other: letters help.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_uppercase

N_SERIES = 16
N_DISTINCT = 8
"""So many colours are told apart by every eye; from the next one on, letters stand beside them."""


class SeriesMap:
    """Hands out the numbers of the theme variables `$series-1` … `$series-16`, and letters where they run out."""

    def __init__(self, methods: Iterable[str] = ()) -> None:
        self._order: dict[str, int] = {}
        self.n_changes = 0
        """How often methods have changed places: what was drawn before may be in old colours."""
        self.add(methods)

    def add(self, methods: Iterable[str]) -> None:
        """Give each method not seen before the next colour; colours given stay."""
        for method in methods:
            self._order.setdefault(method, len(self._order))

    def show_together(self, methods: Iterable[str]) -> None:
        """Give methods that are shown beside each other the colours that are told apart best, as far as they go.

        One that has another changes places with a method that is not shown.
        """
        shown = list(dict.fromkeys(methods))
        self.add(shown)
        for most in (N_DISTINCT, N_SERIES):  # beyond the best ones any that no other has
            self._move_to_first(most, shown)

    def _move_to_first(self, most: int, shown: list[str]) -> None:
        first = sorted(self._order, key=self._order.__getitem__)[:most]
        beyond = [method for method in shown if method not in first]
        for method, other in zip(beyond, [each for each in first if each not in shown], strict=False):
            self._order[method], self._order[other] = self._order[other], self._order[method]
            self.n_changes += 1

    def number(self, method: str) -> int:
        """Return 1 to 16. A method nobody named before (from a stored session) gets the next colour."""
        self.add((method,))
        return self._order[method] % N_SERIES + 1

    def variable(self, method: str) -> str:
        """Return the style of text in the method's colour."""
        return f"$series-{self.number(method)}"

    def letter(self, method: str, *, colourless: bool) -> str:
        """Return what tells a line of the method from the others'; nothing as long as its colour does.

        Args:
            method: As for `number`.
            colourless: Whether the terminal shows no colours.
        """
        self.add((method,))
        place = self._order[method]
        return letter(place) if colourless or place >= N_DISTINCT else ""


def series_classes(number: int | None) -> dict[str, bool]:
    """Return which of the style classes `series-1` … a widget in this colour has; None means no colour."""
    return {f"series-{each}": each == number for each in range(1, N_SERIES + 1)}


def letter(place: int) -> str:
    """Return the letter of the line that has this place, counted from 0, among all."""
    return ascii_uppercase[place % len(ascii_uppercase)]
