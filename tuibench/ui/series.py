"""Which accent colour belongs to which method: the same on every screen, in every theme."""

from __future__ import annotations

from collections.abc import Iterable

N_SERIES = 8


class SeriesMap:
    """Hands out the numbers of the theme variables `$series-1` … `$series-8`."""

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
