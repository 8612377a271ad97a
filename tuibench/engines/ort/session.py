"""Runs a decoder graph: the cache lives in one buffer, inputs and outputs are bound once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from tuibench.engines.decoder.description import SCORED_TOKENS, Decoder
from tuibench.engines.decoder.rope import rope_tables, switching_length
from tuibench.engines.ort.batch import SequenceBatch
from tuibench.engines.ort.binding import bound, cache_parts
from tuibench.engines.ort.graph.info import MODEL_FILE
from tuibench.machine.cpu import has_vnni

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuibench.engines.base import Logits

_CAPACITY_STEP = 64
"""The cache grows by whole blocks, so that prompts of about the same length share one."""
_SPIN_US = "500"
"""Longer than what stands between two steps of a generation; ONNX Runtime 1.32 spins nearly three times as long."""


def session_options(n_threads: int) -> ort.SessionOptions:
    """Return what every session here has in common."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Threads wait for the next step awake, as they do by default, but for 50 ms after the last one: who is measured
    # next would have to wait for that.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # Blocks that get smaller towards the end of a product: the slower of the threads is waited for less.
    options.add_session_config_entry("session.dynamic_block_base", "2")
    if not has_vnni():
        # Without VNNI, products of unsigned and signed bytes saturate at 16 bits; this makes both unsigned.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def mapped_session_options(n_threads: int) -> ort.SessionOptions:
    """Return what a session has whose weights are to stay in the files they are mapped from.

    Kernels copy weights into an order of their own otherwise. Where the FP32 graph is only tried, or reads a
    calibration text, that copy would be the largest thing in memory.
    """
    options = session_options(n_threads)
    options.add_session_config_entry("session.disable_prepacking", "1")
    return options


class DecoderSession:
    """One graph of `llama` or `gpt2` with its cache."""

    def __init__(self, model: Path | bytes, decoder: Decoder, options: ort.SessionOptions) -> None:
        """Load a graph from a folder, or its serialised form."""
        source = model if isinstance(model, bytes) else model / MODEL_FILE
        self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._output = next(each.name for each in self._session.get_outputs() if not each.name.startswith("present."))
        self._decoder = decoder
        self._switch = switching_length(decoder.rope)
        self._logits = np.empty((1, 1, decoder.vocabulary), np.float32)
        self._last: Logits = self._logits[0, 0]
        self._kept = np.full(1, -1, np.int64)
        self._token = np.zeros((1, 1), np.int64)
        self._position = np.zeros((1, 1), np.int64)
        self._last_index = np.zeros(1, np.int32)
        self._total_length = np.zeros((), np.int32)
        self._cache: dict[str, ort.OrtValue] = {}
        self._tables: dict[str, NDArray[np.float32]] = {}
        self._turned: tuple[int, bool] | None = None
        self._capacity = 0
        self._length = 0
        self._step: ort.IOBinding

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        """Read the prompt from an empty cache with room for `max_length` positions."""
        self._run(self._bind_prompt(token_ids, max_length))
        return self._last

    def _bind_prompt(self, token_ids: Sequence[int], max_length: int) -> ort.IOBinding:
        self._reserve(max_length)
        self._length = len(token_ids)
        self._turn(self._length)
        positions = np.arange(self._length, dtype=np.int64)
        return self._bind(np.array(token_ids, np.int64)[None], positions[None], self._kept, self._logits)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """Append tokens in one pass."""
        start, self._length = self._length, self._length + len(token_ids)
        positions = np.arange(start, self._length, dtype=np.int64)
        self._run(self._bind(np.array(token_ids, np.int64)[None], positions[None], self._kept, self._logits))
        return self._last

    def decode(self, token_id: int) -> Logits:
        """Append one token."""
        self._token[0, 0] = token_id
        self._position[0, 0] = self._length
        self._length += 1
        self._run(self._step)
        return self._last

    @property
    def why_alone(self) -> str | None:
        """Why several sequences cannot share a step; None where they can."""
        return None if self._switch is None else "the model turns a text's positions by its length"

    def batch(self, n_sequences: int, max_length: int) -> SequenceBatch:
        """Return caches for several sequences, apart from this one's."""
        return SequenceBatch(self._session, self._decoder, n_sequences, max_length)

    def keep(self, n_tokens: int, max_length: int) -> bool:
        """Forget all but the first tokens, if there is room for so long a text; the next ones take their places."""
        if max_length > self._capacity:
            return False
        self._length = n_tokens
        return True

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits at every position of a text, a block of positions at a time.

        Every kernel used here quantises activations row by row, or by scales that are fixed: a block of positions is
        computed as the same positions one after the other.
        """
        self._reserve(len(token_ids))
        self._turn(len(token_ids))
        logits = np.empty((1, min(len(token_ids), SCORED_TOKENS), self._decoder.vocabulary), np.float32)
        for start in range(0, len(token_ids), SCORED_TOKENS):
            block = np.array(token_ids[start : start + SCORED_TOKENS], np.int64)
            self._length = start + len(block)
            found = logits[:, : len(block)]
            positions = np.arange(start, self._length, dtype=np.int64)
            self._run(self._bind(block[None], positions[None], np.arange(len(block)), found))
            yield found[0]

    def end_profiling(self) -> Path:
        """Return the file with the times of all nodes; only where the options asked for it."""
        return Path(self._session.end_profiling())

    def _run(self, binding: ort.IOBinding) -> None:
        self._last_index[0] = self._length - 1
        self._total_length[()] = self._length
        self._session.run_with_iobinding(binding)

    def _reserve(self, length: int) -> None:
        if length <= self._capacity:
            return
        self._capacity = length + -length % _CAPACITY_STEP
        decoder = self._decoder
        self._cache = {}
        for part, shape in decoder.cache_shapes(1, self._capacity).items():
            self._cache[part] = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
        for index, attention in decoder.attentions.items():
            if (source := attention.keys_of) is not None:
                pairs = zip(cache_parts([index]), cache_parts([source]), strict=True)
                self._cache |= {part: self._cache[shared] for part, shared in pairs}
        self._tables = {}
        for prefix in decoder.rotations:
            n_pairs = decoder.rotated_head_dim(prefix) // 2
            for name in ("cos", "sin"):
                self._tables[f"{prefix}{name}"] = np.empty((self._capacity, n_pairs), np.float32)
        self._step = self._bind(self._token, self._position, self._kept, self._logits)

    def _turn(self, length: int) -> None:
        """Have the angles of texts of this length, which steps read anew; all are turned alike up to a switch."""
        long = self._switch is not None and length > self._switch
        if self._turned == (self._capacity, long):
            return
        for prefix, rope in self._decoder.rotations.items():
            cos, sin = rope_tables(rope, self._decoder.rotated_head_dim(prefix), self._capacity, long=long)
            self._tables[f"{prefix}cos"][:], self._tables[f"{prefix}sin"][:] = cos, sin
        self._turned = (self._capacity, long)

    def _bind(
        self,
        tokens: NDArray[np.int64],
        positions: NDArray[np.int64],
        kept: NDArray[np.int64],
        logits: NDArray[np.float32],
    ) -> ort.IOBinding:
        inputs: dict[str, NDArray[Any]] = {
            "tokens": tokens,
            "kept": kept,
            "last_index": self._last_index,
            "total_length": self._total_length,
            "positions": positions,
            **self._tables,
        }
        taken = {name: array for name, array in inputs.items() if name in self._inputs}
        return bound(self._session, taken, {self._output: logits}, self._cache)
