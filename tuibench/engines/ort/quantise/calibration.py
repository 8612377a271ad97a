"""Ranges of the activations, seen while the FP32 graph reads a text.

Two passes: the first finds the largest value of each channel, which decides how much of it moves into the weights
(SmoothQuant, Xiao et al. 2022, https://arxiv.org/abs/2211.10438); the second counts the magnitudes that then remain.
Memory is bounded by one chunk's activations; the text may have any length.
"""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from tuibench.engines.base import CalibrationError, Progress
from tuibench.engines.decoder.description import Decoder
from tuibench.engines.ort.graph.info import MODEL_FILE
from tuibench.engines.ort.recipes import Gptq, SmoothQuant, Static
from tuibench.engines.ort.session import DecoderSession, mapped_session_options
from tuibench.models.text.tokenizer import PromptTokenizer

CHUNK_TOKENS = 128
MIN_TOKENS = 256
_MOST_CHARACTERS_A_TOKEN = 32
"""Beyond this much text nothing is tokenised: a user's file may have any size."""
_N_BINS = 2048
_LEVELS = 127
"""Steps on each side of zero."""
Channels = NDArray[np.float32]


@dataclass(slots=True)
class Magnitudes:
    """How large the input of one product gets."""

    largest: float
    histogram: NDArray[np.int64]
    """Of magnitudes, in equal bins from 0 to `largest`."""
    typical: float
    """Median over the tokens of the mean square."""


class Calibration:
    """The FP32 graph with the inputs of all its products as additional outputs, and a text to read."""

    def __init__(
        self, options: SmoothQuant | Static | Gptq, fused: Path, model_dir: Path, decoder: Decoder, n_threads: int
    ) -> None:
        """Read the text and open the graph.

        Args:
            options: Which text, and how much of it.
            fused: Files of the fused FP32 graph.
            model_dir: The model.
            decoder: What it is.
            n_threads: For reading the text.

        Raises:
            CalibrationError: The text cannot be read, or is too short.
        """
        self._text = Path(options.calibration)
        self._chunks = _chunks(self._text, model_dir, options.n_tokens, decoder.vocabulary)
        model = onnx.load(fused / MODEL_FILE, load_external_data=False)
        self.inputs = {
            node.output[0].removesuffix(".product"): node.input[0]
            for node in model.graph.node
            if node.op_type == "MatMul"
        }
        """Product → the value that goes into it."""
        rows = {initializer.name: initializer.dims[0] for initializer in model.graph.initializer if initializer.dims}
        self.widths = {
            node.output[0].removesuffix(".product"): rows[node.input[1]]
            for node in model.graph.node
            if node.op_type == "MatMul"
        }
        """Product → channels of its input."""
        watched = sorted(set(self.inputs.values()))
        for name in watched:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        opening = mapped_session_options(n_threads)
        opening.add_session_config_entry("session.model_external_initializers_file_folder_path", str(fused))
        self._session = _WatchedSession(model.SerializeToString(), decoder, opening, watched)

    def largest_by_channel(self, progress: Progress) -> dict[str, Channels]:
        """Return, for each product's input, the largest magnitude of each channel."""
        found: dict[str, Channels] = {}
        for name, rows in self._activations("finding ranges, pass 1", progress):
            seen = np.abs(rows).max(axis=0)
            found[name] = np.maximum(found[name], seen) if name in found else seen
        return found

    def magnitudes(
        self, largest: dict[str, Channels], divisors: dict[str, Channels], progress: Progress
    ) -> dict[str, Magnitudes]:
        """Return how large each product's input gets after its channels were divided."""
        found: dict[str, Magnitudes] = {}
        squares: dict[str, list[Channels]] = {}
        for name, values in self._activations("finding ranges, pass 2", progress):
            divisor = divisors.get(name)
            rows = values if divisor is None else values / divisor
            if name not in found:
                top = float((largest[name] if divisor is None else largest[name] / divisor).max())
                found[name] = Magnitudes(max(top, 1e-12), np.zeros(_N_BINS, np.int64), 0.0)
                squares[name] = []
            found[name].histogram += np.histogram(np.abs(rows), bins=_N_BINS, range=(0, found[name].largest))[0]
            squares[name].append(np.square(rows).mean(axis=-1))
        for name, seen in found.items():
            seen.typical = float(np.median(np.concatenate(squares[name])))
        return found

    def second_moments(self, products: Sequence[str], progress: Progress) -> dict[str, Channels]:
        """Return, for each product, the mean over the tokens of its input's outer product, `[channels, channels]`."""
        names = {self.inputs[product] for product in products}
        found: dict[str, Channels] = {}
        n_tokens = sum(len(chunk) for chunk in self._chunks)
        for name, rows in self._activations("finding how inputs depend on each other", progress, names):
            moments: Channels = rows.T @ (rows / np.float32(n_tokens))
            found[name] = found[name] + moments if name in found else moments
        return {product: found[self.inputs[product]] for product in products}

    def notes(self, how: str) -> dict[str, str]:
        """Return what is told of the calibration; its memory is the most that this process had so far."""
        digest = hashlib.sha256(self._text.read_bytes()).hexdigest()[:12]
        n_tokens = sum(len(chunk) for chunk in self._chunks)
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {
            "calibration": f"{self._text.name} (sha256 {digest}…), {n_tokens} tokens, {how}",
            "calibration memory": f"{peak_bytes / 1e6:.0f} MB at most, the FP32 graph included",
        }

    def _activations(
        self, label: str, progress: Progress, only: Container[str] | None = None
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        for index, chunk in enumerate(self._chunks):
            progress(label, index, len(self._chunks))
            yield from self._session.watch(chunk, only)


class _WatchedSession(DecoderSession):
    """A decoder whose prefill also gives inner values."""

    def __init__(self, model: bytes, decoder: Decoder, options: ort.SessionOptions, watched: Sequence[str]) -> None:
        super().__init__(model, decoder, options)
        self._watched = watched

    def watch(
        self, token_ids: Sequence[int], only: Container[str] | None = None
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Read a prompt; yield each watched value, or only some, as `[tokens, channels]`."""
        watched = [name for name in self._watched if only is None or name in only]
        binding = self._bind_prompt(token_ids, len(token_ids))
        for name in watched:
            binding.bind_output(name, "cpu")
        self._run(binding)
        # Bound in this order after the logits and the cache.
        for name, value in zip(watched, binding.get_outputs()[-len(watched) :], strict=True):
            rows: NDArray[Any] = value.numpy()
            yield name, rows.reshape(-1, rows.shape[-1])


def _chunks(path: Path, model_dir: Path, n_tokens: int, vocabulary: int) -> list[list[int]]:
    """Return a text's tokens in chunks, each read as a prompt of its own."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CalibrationError(f"the calibration text {path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CalibrationError(f"the calibration text {path.name} is not UTF-8 text (byte {error.start})") from error
    encoded = PromptTokenizer(model_dir).encode(text[: n_tokens * _MOST_CHARACTERS_A_TOKEN], raw=True)
    ids = [token for token in encoded if token < vocabulary]
    if len(ids) < MIN_TOKENS:
        raise CalibrationError(
            f"the calibration text {path.name} has {len(ids)} tokens; at least {MIN_TOKENS} are needed to find ranges, "
            "so give a longer one"
        )
    ids = ids[:n_tokens]
    return [ids[start : start + CHUNK_TOKENS] for start in range(0, len(ids), CHUNK_TOKENS)]


def pick_range(seen: Magnitudes, ranges: str, percentile: float) -> float:
    """Return the magnitude that the outermost level stands for."""
    match ranges:
        case "percentile":
            return _percentile(seen, percentile)
        case "entropy":
            return _least_divergence(seen)
    return seen.largest


def _percentile(seen: Magnitudes, percentile: float) -> float:
    cumulative = np.cumsum(seen.histogram)
    bin_index = int(np.searchsorted(cumulative, cumulative[-1] * percentile / 100))
    return seen.largest * (bin_index + 1) / _N_BINS


def _least_divergence(seen: Magnitudes) -> float:
    """Return the cut at which the distribution of magnitudes changes least (TensorRT's entropy calibration)."""
    counts = seen.histogram.astype(np.float64)
    best, least = _N_BINS, np.inf
    for n_kept in range(_LEVELS + 1, _N_BINS + 1, 16):
        clipped = counts[:n_kept].copy()
        clipped[-1] += counts[n_kept:].sum()
        divergence = _divergence(clipped, _coarse(counts[:n_kept]))
        if divergence < least:
            best, least = n_kept, divergence
    return seen.largest * best / _N_BINS


def _coarse(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the histogram as it looks after rounding: each level's count spread over the bins that were not empty."""
    level = np.arange(len(counts)) * (_LEVELS + 1) // len(counts)
    totals = np.bincount(level, weights=counts)
    occupied = np.bincount(level, weights=(counts > 0).astype(np.float64))
    return np.where(counts > 0, totals[level] / np.maximum(occupied[level], 1), 0)


def _divergence(exact: NDArray[np.float64], rounded: NDArray[np.float64]) -> float:
    exact, rounded = exact / exact.sum(), rounded / max(rounded.sum(), 1)
    both = (exact > 0) & (rounded > 0)
    lost = exact[(exact > 0) & (rounded == 0)].sum()
    return float((exact[both] * np.log(exact[both] / rounded[both])).sum() + 10 * lost)
