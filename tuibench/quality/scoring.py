"""A text scored by one method: its predictions, block by block, against the reference's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tuibench.core.events import QualityFigures
from tuibench.quality.divergence import Divergence
from tuibench.quality.reference import Predict, Reference
from tuibench.quality.windows import Windows

_ROWS = 64
"""Positions that are compared at once: 13 MB an array for 49,152 tokens, and enough to read the head seldom."""


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
        NotFiniteError: The method's logits are no numbers.
    """
    pending = _Pending(reference)
    for index, window in enumerate(windows.tokens):
        position = 0
        targets = np.array(window[1:], np.int64)
        for block in predict(window):
            last = min(len(block), windows.length - 1 - position)
            for row in range(max(windows.first - position, 0), last):
                pending.add(block[row], targets[position + row])
            position += len(block)
            progress(index * windows.length + position, windows.n_tokens)
        if position != windows.length:
            raise RuntimeError(f"the engine scored {position} of {windows.length} positions")
    return pending.figures()


class _Pending:
    """Rows wait until there are enough of them: recomputing the reference one row at a time would read it all anew."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._divergence = Divergence()
        self._logits: np.ndarray[tuple[int, int], np.dtype[np.float32]] | None = None
        self._targets = np.empty(_ROWS, np.int64)
        self._n_waiting = 0
        self._n_done = 0

    def add(self, logits: np.ndarray[tuple[int], np.dtype[np.float32]], target: np.int64) -> None:
        """Take the prediction of one position, and the token that follows it."""
        if self._logits is None:
            self._logits = np.empty((_ROWS, len(logits)), np.float32)
        self._logits[self._n_waiting] = logits
        self._targets[self._n_waiting] = target
        self._n_waiting += 1
        if self._n_waiting == _ROWS:
            self._compare()

    def _compare(self) -> None:
        n = self._n_waiting
        if self._logits is None or n == 0:
            return
        expected = self._reference.log_probs(self._n_done, self._n_done + n)
        self._divergence.add(expected, self._logits[:n], self._targets[:n])
        self._n_done += n
        self._n_waiting = 0

    def figures(self) -> QualityFigures:
        """Compare the rest and return the figures."""
        self._compare()
        return self._divergence.figures()
