"""Runs an exported graph as it is: each step hands the cache that it returned to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuibench.engines.ort.graph_info import MODEL_FILE

if TYPE_CHECKING:
    import onnxruntime as ort

    from tuibench.engines.base import Logits
    from tuibench.engines.ort.decoder import Decoder


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
        self._length = 0
        self._cache = [self._value(np.zeros(self._shape, np.float32)) for _ in self._past]
        return self._run(np.array(token_ids, np.int64)[None])

    def decode(self, token_id: int) -> Logits:
        """Append one token."""
        return self._run(np.full((1, 1), token_id, np.int64))

    def _run(self, tokens: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Logits:
        start, self._length = self._length, self._length + tokens.shape[1]
        feeds = dict(zip(self._past, self._cache, strict=True))
        feeds["tokens"] = self._value(tokens)
        feeds["positions"] = self._value(np.arange(start, self._length, dtype=np.int64)[None])
        logits, *self._cache = self._session.run_with_ort_values(self._outputs, feeds)
        last: Logits = logits.numpy()[0, -1]
        return last
