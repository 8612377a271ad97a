"""A text scored by one method: its predictions, block by block, against the reference's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tuibench.core.run.events import QualityFigures
from tuibench.quality.divergence import Divergence
from tuibench.quality.reference import Predict, Reference
from tuibench.quality.windows import Windows

_ROWS = 64
"""Positions whose reference is computed at once: 13 MB for 49,152 tokens, and enough to read the head seldom."""


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
    divergence, n_done = Divergence(), 0
    waiting: NDArray[np.float32] | None = None
    for index, window in enumerate(windows.tokens):
        position = 0
        for block in predict(window):
            if waiting is None:
                waiting = np.empty((windows.n_per_window, block.shape[1]), np.float32)
            start, end = (_within(windows, each) for each in (position, position + len(block)))
            waiting[start:end] = block[start + windows.first - position : end + windows.first - position]
            position += len(block)
            progress(index * windows.length + position, windows.n_tokens)
        if waiting is None or position != windows.length:
            raise RuntimeError(f"the engine scored {position} of {windows.length} positions")
        targets = np.array(window[windows.first + 1 :], np.int64)
        # Not block by block: an engine's threads that still wait for more work would slow the reference's product.
        for start in range(0, windows.n_per_window, _ROWS):
            end = min(start + _ROWS, windows.n_per_window)
            expected = reference.logits(n_done + start, n_done + end)
            divergence.add(expected, waiting[start:end], targets[start:end])
        n_done += windows.n_per_window
    return divergence.figures()


def _within(windows: Windows, position: int) -> int:
    """Return how many of the positions that count lie before `position` of a window."""
    return min(max(position - windows.first, 0), windows.n_per_window)
