"""Texts that end an answer: found even where they are spread over several pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Hands on an answer piece by piece, up to the first of some texts.

    Attributes:
        found: Whether one of them has come; nothing after it is handed on.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Take the texts, none of them empty."""
        self._stops = stops
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Return what is certain to be part of the answer: its end may be the beginning of a stop text."""
        if self.found:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.found = True
            return self._held[: min(places)]
        n_out = len(self._held) - self._n_doubtful()
        out, self._held = self._held[:n_out], self._held[n_out:]
        return out

    def finish(self) -> str:
        """Return what was held back, once nothing more comes."""
        return "" if self.found else self._held

    def _n_doubtful(self) -> int:
        longest = max(map(len, self._stops), default=1) - 1
        for n_chars in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-n_chars:]) for stop in self._stops):
                return n_chars
        return 0
