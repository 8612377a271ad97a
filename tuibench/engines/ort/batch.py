"""Several sequences of different lengths through one decoder graph: a row of the cache each, filled from its start.

`GroupQueryAttention` is told each row's length. Rows are read one by one, and take steps together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from tuibench.engines.decoder.rope import rope_tables
from tuibench.engines.ort.binding import bound, cache_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuibench.engines.base import BatchLogits, Logits
    from tuibench.engines.decoder.description import Decoder

_LAST = np.full(1, -1, np.int64)
"""Only the last position of each row gets logits."""


class SequenceBatch:
    """The caches of some sequences."""

    def __init__(self, session: ort.InferenceSession, decoder: Decoder, n_rows: int, max_length: int) -> None:
        """Set memory aside for sequences that are empty.

        Args:
            session: Of a graph whose rows are as many as one likes, and whose positions are turned alike at any length.
            decoder: What the graph computes.
            n_rows: Sequences.
            max_length: Most tokens of each.
        """
        self._session, self._decoder = session, decoder
        self._names = {each.name for each in session.get_inputs()}
        self._output = next(each.name for each in session.get_outputs() if not each.name.startswith("present."))
        capacity = max_length + 1  # a row that sits out has a place for what is computed beside the others
        self._cache: dict[str, NDArray[np.float32]] = {}
        for part, shape in decoder.cache_shapes(n_rows, capacity).items():
            self._cache[part] = np.zeros(shape, np.float32)
        for index, attention in decoder.attentions.items():
            if (source := attention.keys_of) is not None:
                pairs = zip(cache_parts([index]), cache_parts([source]), strict=True)
                self._cache |= {part: self._cache[shared] for part, shared in pairs}
        self._tables: dict[str, NDArray[np.float32]] = {}
        for prefix, rope in decoder.rotations.items():
            tables = rope_tables(rope, decoder.rotated_head_dim(prefix), capacity)
            self._tables |= dict(zip((f"{prefix}cos", f"{prefix}sin"), tables, strict=True))
        self._lengths = np.zeros(n_rows, np.int32)
        self._tokens = np.zeros((n_rows, 1), np.int64)
        self._positions = np.zeros((n_rows, 1), np.int64)
        self._last_index = np.zeros(n_rows, np.int32)
        self._total_length = np.zeros((), np.int32)
        self._logits = np.empty((n_rows, 1, decoder.vocabulary), np.float32)
        self._span: tuple[int, int] | None = None
        self._step: ort.IOBinding

    def read(self, row: int, token_ids: Sequence[int]) -> Logits:
        """Append tokens to one sequence, in one pass, and return the logits that follow."""
        start, end = int(self._lengths[row]), int(self._lengths[row]) + len(token_ids)
        self._lengths[row] = self._total_length[()] = end
        self._last_index[row] = end - 1
        positions = np.arange(start, end, dtype=np.int64)[None]
        self._session.run_with_iobinding(self._bind(row, row + 1, np.array(token_ids, np.int64)[None], positions))
        logits: Logits = self._logits[row, 0]
        return logits

    def decode(self, rows: Sequence[int], token_ids: Sequence[int]) -> BatchLogits:
        """Append a token to each of some sequences; those between them keep what they have."""
        first, end = rows[0], rows[-1] + 1
        self._tokens[list(rows), 0] = token_ids
        self._positions[:, 0] = self._last_index[:] = self._lengths
        self._total_length[()] = self._lengths[first:end].max() + 1
        if self._span != (first, end):
            self._step = self._bind(first, end, self._tokens[first:end], self._positions[first:end])
            self._span = first, end
        self._session.run_with_iobinding(self._step)
        self._lengths[list(rows)] += 1
        logits: BatchLogits = self._logits[first:end, 0]
        return logits if len(rows) == end - first else logits[[row - first for row in rows]]

    def _bind(self, first: int, end: int, tokens: NDArray[np.int64], positions: NDArray[np.int64]) -> ort.IOBinding:
        inputs: dict[str, NDArray[Any]] = {
            "tokens": tokens,
            "positions": positions,
            "kept": _LAST,
            "last_index": self._last_index[first:end],
            "total_length": self._total_length,
            **self._tables,
        }
        taken = {name: array for name, array in inputs.items() if name in self._names}
        cache = {part: ort.OrtValue.ortvalue_from_numpy(array[first:end]) for part, array in self._cache.items()}
        return bound(self._session, taken, {self._output: self._logits[first:end]}, cache)
