"""A text scored by one method: its predictions, block by block, against the reference's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tuibench.core.run.events import QualityFigures
from tuibench.core.run.shape import WINDOW_TOKENS
from tuibench.quality.divergence import Divergence
from tuibench.quality.reference import Predict, Reference
from tuibench.quality.windows import Windows

_ROWS = 64
"""Positions whose reference is computed at once: 13 MB for 49,152 tokens, and enough to read the head seldom."""
_MOST_WAITING = WINDOW_TOKENS // 2
"""Positions that wait for it: all that count in a window of llama.cpp's, a part of a longer one."""


def score_text(
    predict: Predict, windows: Windows, reference: Reference, progress: Callable[[int, int], None]
) -> QualityFigures:
    """Return how far a method is from the reference.

    Args:
        predict: The method's logits of every position of a window.
        windows: The text.
        reference: What the reference predicts.
        progress: Told the tokens read and the tokens in all, after every block.

    Raises:
        NotFiniteError: The method's logits are not finite numbers.
    """
    waiting = _Waiting(windows, reference)
    for index, window in enumerate(windows.tokens):
        position = 0
        for block in predict(window):
            start, end = (_within(windows, each) for each in (position, position + len(block)))
            waiting.add(block[start + windows.first - position : end + windows.first - position])
            position += len(block)
            progress(index * windows.length + position, windows.n_tokens)
        if position != windows.length:
            raise RuntimeError(f"the engine scored {position} of {windows.length} positions")
        waiting.compare()
    return waiting.divergence.figures(windows)


class _Waiting:
    """Predictions that are yet to be compared.

    Not block by block: an engine's threads that still wait for more work would slow the reference's product.
    """

    def __init__(self, windows: Windows, reference: Reference) -> None:
        self.divergence = Divergence()
        self._reference = reference
        self._targets = np.array([window[windows.first + 1 :] for window in windows.tokens], np.int64).ravel()
        self._logits: NDArray[np.float32] | None = None
        self._n_waiting = self._n_compared = 0

    def add(self, logits: NDArray[np.float32]) -> None:
        """Take the next predictions; the memory is the engine's."""
        if self._logits is None:
            self._logits = np.empty((_MOST_WAITING, logits.shape[1]), np.float32)
        while len(logits):
            taken = logits[: _MOST_WAITING - self._n_waiting]
            self._logits[self._n_waiting : self._n_waiting + len(taken)] = taken
            self._n_waiting += len(taken)
            logits = logits[len(taken) :]
            if self._n_waiting == _MOST_WAITING:
                self.compare()

    def compare(self) -> None:
        """Compare all that waits."""
        for start in range(0, self._n_waiting, _ROWS):
            end = min(start + _ROWS, self._n_waiting)
            of_all = slice(self._n_compared + start, self._n_compared + end)
            assert self._logits is not None  # noqa: S101 - something waits
            expected = self._reference.logits(of_all.start, of_all.stop)
            self.divergence.add(expected, self._logits[start:end], self._targets[of_all])
        self._n_compared += self._n_waiting
        self._n_waiting = 0


def _within(windows: Windows, position: int) -> int:
    """Return how many of the positions that count lie before `position` of a window."""
    return min(max(position - windows.first, 0), windows.n_per_window)
