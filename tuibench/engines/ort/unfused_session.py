"""Runs an exported graph as it is; its cache lives in buffers that grow now and then, never by a step's own token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuibench.engines.decoder.description import SCORED_TOKENS, Decoder
from tuibench.engines.ort.binding import bound, cache_parts
from tuibench.engines.ort.graph.info import MODEL_FILE

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

_GATHERED_BYTES = 256_000_000
"""Of experts' matrices that are copied at once: the module gathers those of each token, however often the same."""
_ROOM = 256
"""Positions that the buffers have room for beyond those in use: each is attended to, if only behind the mask."""


def cache_names(side: str, decoder: Decoder) -> list[str]:
    """Return the names of the cache's tensors, `past` or `present`."""
    return [f"{side}.{part}" for part in cache_parts(decoder.caching)]


class UnfusedSession:
    """An exported graph with its cache."""

    def __init__(self, directory: Path, decoder: Decoder, options: ort.SessionOptions) -> None:
        import onnxruntime as ort

        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._value = ort.OrtValue.ortvalue_from_numpy
        self._session = ort.InferenceSession(directory / MODEL_FILE, options, providers=["CPUExecutionProvider"])
        self._decoder = decoder
        self._logits = np.empty((1, 1, decoder.vocabulary), np.float32)
        self._last: Logits = self._logits[0, 0]
        self._kept = np.full(1, -1, np.int64)
        self._token = np.zeros((1, 1), np.int64)
        self._position = np.zeros((1, 1), np.int64)
        self._cache: list[NDArray[np.float32]] = []
        self._capacity = 0
        self._length = 0
        self._most = 0
        self._at_once = _tokens_at_once(decoder)
        self._step: ort.IOBinding

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        """Read the prompt from an empty cache, which then gets room for what follows."""
        self._begin(len(token_ids), max_length)
        step = self._at_once or len(token_ids)
        for start in range(0, len(token_ids), step):
            self._append(np.array(token_ids[start : start + step], np.int64), self._kept, self._logits)
        self._reserve(self._length + 1)
        return self._last

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """Append tokens in one pass."""
        self._reserve(self._length + len(token_ids))
        self._append(np.array(token_ids, np.int64), self._kept, self._logits)
        self._reserve(self._length + 1)
        return self._last

    def decode(self, token_id: int) -> Logits:
        """Append one token."""
        self._reserve(self._length + 1)
        self._token[0, 0] = token_id
        self._position[0, 0] = self._length
        self._length += 1
        self._session.run_with_iobinding(self._step)
        return self._last

    def keep(self, n_tokens: int, max_length: int) -> bool:
        """Forget all but the first tokens, and have the room that a prompt of these alone would have left."""
        self._length, self._most = n_tokens, max_length
        if (capacity := self._roomy(n_tokens + 1)) != self._capacity:
            self._resize(capacity)
        return True

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits at every position of a text, a block of positions at a time."""
        step = min(self._at_once or SCORED_TOKENS, SCORED_TOKENS)
        n_block = min(len(token_ids), step)
        logits = np.empty((1, n_block, self._decoder.vocabulary), np.float32)
        self._begin(n_block, len(token_ids))
        for start in range(0, len(token_ids), step):
            block = np.array(token_ids[start : start + step], np.int64)
            self._reserve(start + len(block))
            found = logits[:, : len(block)]
            self._append(block, np.arange(len(block)), found)
            yield found[0]

    def pretend(self, length: int) -> None:
        """Take so many positions for read: what the next step costs can be timed without a text."""
        self._begin(length + 1, length + 1)
        self._length = length

    def end_profiling(self) -> Path:
        """Return the file with the times of all nodes; only where the options asked for it."""
        return Path(self._session.end_profiling())

    def _begin(self, capacity: int, most: int) -> None:
        """Forget what was read; have room for exactly `capacity` positions, later for no more than `most` need."""
        self._cache = []
        for attention in self._decoder.caching.values():
            heads, width = (1, attention.n_kv_heads, 1), attention.head_dim
            self._cache += [np.zeros((*heads, width, 0), np.float32), np.zeros((*heads, 0, width), np.float32)]
        self._length = self._capacity = self._most = 0
        self._reserve(capacity)
        self._most = most

    def _reserve(self, length: int) -> None:
        """Grow the buffers unless `length` positions have room: a copy, but one for many steps."""
        if length <= self._capacity:
            return
        self._resize(self._roomy(length))

    def _roomy(self, length: int) -> int:
        return max(length, min(length + _ROOM, self._most))

    def _resize(self, capacity: int) -> None:
        self._capacity = capacity
        self._cache = [_resized(buffer, 3 if index % 2 else 4, capacity) for index, buffer in enumerate(self._cache)]
        self._step = self._bind(self._token, self._position, self._kept, self._logits)

    def _append(self, tokens: NDArray[np.int64], kept: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Append tokens; the logits of the kept ones go to `logits`, `[1, kept, vocabulary]`."""
        start, self._length = self._length, self._length + len(tokens)
        positions = np.arange(start, self._length, dtype=np.int64)
        self._session.run_with_iobinding(self._bind(tokens[None], positions[None], kept, logits))

    def _bind(
        self,
        tokens: NDArray[np.int64],
        positions: NDArray[np.int64],
        kept: NDArray[np.int64],
        logits: NDArray[np.float32],
    ) -> ort.IOBinding:
        inputs = {"tokens": tokens, "positions": positions, "kept": kept}
        parts = zip(cache_parts(self._decoder.caching), map(self._value, self._cache), strict=True)
        return bound(self._session, inputs, {"logits": logits}, dict(parts))


def _tokens_at_once(decoder: Decoder) -> int | None:
    """Return how many tokens may be read in one run, or None where that does not matter."""
    experts = decoder.experts
    if experts is None:
        return None
    largest = max(layer.expert_weights(experts.n_active) for layer in decoder.layers)
    return max(1, _GATHERED_BYTES // (4 * largest))


def _resized(buffer: NDArray[np.float32], axis: int, capacity: int) -> NDArray[np.float32]:
    """Return a buffer of other capacity; new positions are zeros: a product with what is masked has to be finite."""
    shape = list(buffer.shape)
    shape[axis] = capacity
    resized = np.zeros(shape, np.float32)
    both = (slice(None),) * axis + (slice(min(buffer.shape[axis], capacity)),)
    resized[both] = buffer[both]
    return resized
