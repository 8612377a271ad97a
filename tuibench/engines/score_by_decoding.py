"""Scoring for engines that only decode: exact, and as slow as generating the text would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.engines.base import Engine


def score_by_decoding(engine: Engine, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    """Yield the logits at every position of a text, one position at a time."""
    yield engine.prefill(token_ids[:1], len(token_ids))[None]
    for token_id in token_ids[1:]:
        yield engine.decode(token_id)[None]
