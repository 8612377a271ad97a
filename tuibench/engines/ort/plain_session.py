"""Runs an exported graph as it is: each step hands the cache that it returned to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuibench.engines.ort.decoder import SCORED_TOKENS, Decoder
from tuibench.engines.ort.graph_info import MODEL_FILE

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

_LAST = np.full(1, -1, np.int64)


def cache_names(side: str, n_layers: int) -> list[str]:
    """Return the names of the cache's tensors, `past` or `present`."""
    return [f"{side}.{index}.{part}" for index in range(n_layers) for part in ("key", "value")]


class PlainSession:
    """An exported graph with its cache, which grows by a copy at every step: the graph concatenates."""

    def __init__(self, directory: Path, decoder: Decoder, options: ort.SessionOptions) -> None:
        import onnxruntime as ort

        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._value = ort.OrtValue.ortvalue_from_numpy
        self._session = ort.InferenceSession(directory / MODEL_FILE, options, providers=["CPUExecutionProvider"])
        self._shape = (1, decoder.n_kv_heads, 0, decoder.head_dim)
        self._past = cache_names("past", decoder.n_layers)
        self._outputs = ["logits", *cache_names("present", decoder.n_layers)]
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._cache: list[ort.OrtValue] = []
        self._length = 0

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:  # noqa: ARG002 - nothing to set aside
        """Read the prompt with an empty cache."""
        self._forget()
        last: Logits = self._run(np.array(token_ids, np.int64)[None], _LAST)[0]
        return last

    def decode(self, token_id: int) -> Logits:
        """Append one token."""
        last: Logits = self._run(np.full((1, 1), token_id, np.int64), _LAST)[0]
        return last

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits at every position of a text, a block of positions at a time."""
        self._forget()
        for start in range(0, len(token_ids), SCORED_TOKENS):
            block = np.array(token_ids[start : start + SCORED_TOKENS], np.int64)
            yield self._run(block[None], np.arange(len(block)))

    def pretend(self, length: int) -> None:
        """Set the cache to zeros at so many positions: what a step costs there can be timed without a text."""
        batch, heads, _, width = self._shape
        self._length = length
        self._cache = [self._value(np.zeros((batch, heads, length, width), np.float32)) for _ in self._past]

    def end_profiling(self) -> Path:
        """Return the file with the times of all nodes; only where the options asked for it."""
        return Path(self._session.end_profiling())

    def _forget(self) -> None:
        self.pretend(0)

    def _run(self, tokens: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.float32]:
        """Append tokens and return the logits of the kept ones, `[kept, vocabulary]`."""
        start, self._length = self._length, self._length + tokens.shape[1]
        feeds = dict(zip(self._past, self._cache, strict=True))
        feeds["tokens"] = self._value(tokens)
        feeds["positions"] = self._value(np.arange(start, self._length, dtype=np.int64)[None])
        feeds["kept"] = self._value(kept)
        logits, *self._cache = self._session.run_with_ort_values(self._outputs, feeds)
        found: NDArray[np.float32] = logits.numpy()[0]
        return found
