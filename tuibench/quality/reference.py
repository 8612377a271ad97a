"""The reference's predictions of a text, kept so that they take little room.

Log-probabilities of 1,020 positions × 49,152 tokens would be 100 MB at 16 bits each, as llama.cpp keeps them. What goes
into the output head is 2 MB, and the head is in the model's own files: the product is computed anew for each method.
Models that do more than this product (scale, cap, a bias) are found out by comparing it with their own logits once, and
get the 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tuibench.models.artifacts import CachedArtifact, Recipe, make_artifact
from tuibench.models.tensors import MappedMatrix, matrices_of_shape
from tuibench.quality.divergence import LogProbs, log_softmax
from tuibench.quality.windows import Windows

Predict = Callable[[Sequence[int]], Iterator[NDArray[np.float32]]]
"""Yields something of every position of a text, block by block."""

_ARRAYS = "reference.npz"
_LEVELS = "levels.npy"
_N_LEVELS = 65535
_MAX_RANGE = 16.0
"""Nats below the most likely token beyond which llama.cpp's 16 bits tell nothing."""
_CUT_STEP = 0.999 * _MAX_RANGE / _N_LEVELS
_HEAD_ROWS = 8192
_CHECKED_POSITIONS = 16
_SAME_KLD = 1e-6
"""Nats; products in another order differ by less than 1e-9, a cap or scale that was missed by far more."""


class StaleReferenceError(Exception):
    """The reference in the cache is not of this text; the message says what to do."""


class Reference(Protocol):
    """Predictions of the positions that count, window after window."""

    def logits(self, start: int, end: int) -> NDArray[np.float32]:
        """Return some of them, up to a constant for each position; the caller may overwrite them."""


@dataclass(frozen=True, slots=True)
class _FromHead:
    inputs: NDArray[np.float32]
    head: MappedMatrix

    def logits(self, start: int, end: int) -> NDArray[np.float32]:
        return _times_head(self.inputs[start:end], self.head)


@dataclass(frozen=True, slots=True)
class _FromLevels:
    levels: NDArray[np.uint16]
    floor: NDArray[np.float32]
    step: NDArray[np.float32]

    def logits(self, start: int, end: int) -> NDArray[np.float32]:
        levels, step = self.levels[start:end], self.step[start:end, None]
        log_probs: LogProbs = levels * step + self.floor[start:end, None]
        # The lowest level stands for everything below it, where a row's range was cut: 49,152 times e^-16 would add up.
        log_probs[(levels == 0) & (step > _CUT_STEP)] = -np.inf
        return log_probs


def told_of(artifact: CachedArtifact) -> str | None:
    """Return how predictions were computed; None for those of a model that was in memory in FP32."""
    with np.load(artifact.directory / _ARRAYS, allow_pickle=False) as arrays:
        return str(arrays["told"]) if "told" in arrays else None


def open_reference(artifact: CachedArtifact, weights: Sequence[Path], windows: Windows) -> Reference:
    """Return the predictions that an artifact holds.

    Args:
        artifact: A whole one.
        weights: The model's safetensors files.
        windows: What is to be scored.

    Raises:
        StaleReferenceError: They are of other windows.
    """
    with np.load(artifact.directory / _ARRAYS, allow_pickle=False) as arrays:
        if not np.array_equal(arrays["tokens"], np.array(windows.tokens)):
            raise StaleReferenceError(
                "the reference in the cache is of other tokens; clear it with `tuibench models rm` and run again"
            )
        if "head" not in arrays:
            levels = np.load(artifact.directory / _LEVELS, mmap_mode="r", allow_pickle=False)
            return _FromLevels(levels, arrays["floor"], arrays["step"])
        inputs, name = arrays["inputs"], str(arrays["head"])
        shape = (int(arrays["vocabulary"]), inputs.shape[1])
    head = next(matrix for matrix in matrices_of_shape(weights, shape) if matrix.name == name)
    return _FromHead(inputs, head)


@dataclass(frozen=True, slots=True)
class ReferenceMaker:
    """Makes the predictions of a text by the reference method."""

    windows: Windows
    weights: Sequence[Path]
    score: Predict
    """Logits of every position."""
    head_inputs: Predict | None
    """What goes into the output head; None where the engine does not tell."""
    progress: Callable[[int, int], None]
    """Told the tokens read and the tokens in all."""
    told: str | None = None
    """How the predictions are computed, where that is worth a word."""

    def make(self, recipe: Recipe, model_name: str) -> CachedArtifact:
        """Return the artifact, made unless somebody else has made it meanwhile.

        Raises:
            ArtifactError: The disk is full.
        """
        return make_artifact(recipe, model_name, self._build)

    def _build(self, directory: Path) -> None:
        tokens = np.array(self.windows.tokens)
        told: dict[str, Any] = {} if self.told is None else {"told": np.array(self.told)}
        own = next(self.score(self.windows.tokens[0]))[:_CHECKED_POSITIONS].copy()
        head = self._find_head(own) if self.head_inputs is not None else None
        if head is None or self.head_inputs is None:
            floor, step = self._write_levels(directory / _LEVELS, own.shape[1])
            np.savez(directory / _ARRAYS, tokens=tokens, floor=floor, step=step, **told)
            return
        inputs = np.concatenate(list(self._counted(self.head_inputs)))
        np.savez_compressed(
            directory / _ARRAYS,
            tokens=tokens,
            inputs=inputs,
            head=head.name,
            vocabulary=np.int64(own.shape[1]),
            **told,
        )

    def _find_head(self, own: NDArray[np.float32]) -> MappedMatrix | None:
        """Return the matrix that turns the inputs into the model's own logits; None if none does."""
        if self.head_inputs is None or not np.isfinite(own).all():  # no product rules a token out
            return None
        inputs = next(self.head_inputs(self.windows.tokens[0]))[: len(own)].copy()
        expected = log_softmax(own)
        for matrix in matrices_of_shape(self.weights, (own.shape[1], inputs.shape[1])):
            found = log_softmax(_times_head(inputs, matrix))
            kld = (np.exp(expected) * (expected - found)).sum(axis=1, dtype=np.float64)
            if np.abs(kld).max() < _SAME_KLD:
                return matrix
        return None

    def _counted(self, predict: Predict) -> Iterator[NDArray[np.float32]]:
        """Yield copies of the rows that count."""
        for index, window in enumerate(self.windows.tokens):
            position = 0
            for block in predict(window):
                start, end = max(self.windows.first - position, 0), self.windows.length - 1 - position
                position += len(block)
                yield block[start : max(end, 0)].copy()
                self.progress(index * self.windows.length + position, self.windows.n_tokens)

    def _write_levels(self, path: Path, vocabulary: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Write 16-bit log-probabilities as llama.cpp does, and return each position's lowest value and step."""
        n_scored = self.windows.n_scored
        levels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(n_scored, vocabulary))
        floor, step = np.empty(n_scored, np.float32), np.empty(n_scored, np.float32)
        done = 0
        for logits in self._counted(self.score):
            found = log_softmax(logits)
            rows = slice(done, done + len(found))
            floor[rows] = np.maximum(found.min(axis=1), found.max(axis=1) - _MAX_RANGE)
            step[rows] = np.maximum(found.max(axis=1) - floor[rows], np.float32(1e-6)) / _N_LEVELS
            scaled = (found - floor[rows, None]) / step[rows, None]
            levels[rows] = np.clip(np.rint(scaled), 0, _N_LEVELS).astype(np.uint16)
            done += len(found)
        levels.flush()
        return floor, step


def _times_head(inputs: NDArray[np.float32], head: MappedMatrix) -> NDArray[np.float32]:
    if head.is_fp32:
        whole: NDArray[np.float32] = inputs @ head.rows(0, head.n_rows).T
        return whole
    logits = np.empty((len(inputs), head.n_rows), np.float32)
    for start in range(0, head.n_rows, _HEAD_ROWS):
        end = min(start + _HEAD_ROWS, head.n_rows)
        np.matmul(inputs, head.rows(start, end).T, out=logits[:, start:end])
    return logits
