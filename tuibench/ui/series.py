"""Which accent colour and which letter belong to which method: the same on every screen, in every theme."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_uppercase

N_SERIES = 8


class SeriesMap:
    """Hands out the numbers of the theme variables `$series-1` … `$series-8`, and letters where they run out."""

    def __init__(self, methods: Iterable[str] = ()) -> None:
        self._order: dict[str, int] = {}
        self.add(methods)

    def add(self, methods: Iterable[str]) -> None:
        """Give each method not seen before the next colour; colours given stay."""
        for method in methods:
            self._order.setdefault(method, len(self._order))

    def number(self, method: str) -> int:
        """Return 1 to 8. A method nobody named before (from a stored session) gets the next colour."""
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
        return letter(place) if colourless or place >= N_SERIES else ""


def letter(place: int) -> str:
    """Return the letter of the line that has this place, counted from 0, among all."""
    return ascii_uppercase[place % len(ascii_uppercase)]
