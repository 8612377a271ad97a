"""llama.cpp as methods: one a type of the weights, and one for a GGUF file as it is."""

from __future__ import annotations

import ctypes
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tuibench.core.run.spec import Method
from tuibench.engines.base import EngineInfo, Progress, UnsupportedModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuibench.core.run.kv_cache import KvCacheSize
    from tuibench.engines.base import BatchLogits, Logits
    from tuibench.engines.runtimes.llama_cpp.decoding import Decoding
    from tuibench.engines.runtimes.llama_cpp.tensor_types import FileType

RUNTIME = "llama-cpp"
_F16_BYTES = 2
_KV_TYPES = re.compile(r"K \((\w+)\):.*?V \((\w+)\):")
_FIRST_TOKENS = 512
_SCORED_AT_ONCE = 64
"""Positions whose logits llama.cpp keeps at once, 13 MB for 49,152 tokens; of so many on, more change nothing."""


class _LlamaCpp(ABC):
    """Loading, decoding and the facts, the same for all files."""

    method: ClassVar[Method]
    weights: ClassVar[str]
    """Whose they are, in words."""
    spare_room = False  # llama.cpp writes to all of a context when it makes it

    def __init__(self) -> None:
        self._decoding: Decoding | None = None
        self._lengths: list[int] = []
        """Of the sequences of a batch."""

    @abstractmethod
    def prepare(self, model_dir: Path, progress: Progress) -> bool: ...

    @abstractmethod
    def _path(self, model_dir: Path) -> Path:
        """Return the file to load; it is there once `prepare` was called."""

    def load(self, model_dir: Path, n_threads: int, progress: Progress) -> EngineInfo:
        progress("loading the file", 0, None)
        from tuibench.engines.runtimes.llama_cpp.decoding import Decoding

        path = self._path(model_dir)
        decoding = self._decoding = Decoding(path, n_threads)
        window = decoding.context_window or None
        decoding.begin(min(_FIRST_TOKENS, window or _FIRST_TOKENS))
        return EngineInfo(
            parameters=decoding.parameters,
            artifact_bytes=path.stat().st_size,
            weight_bytes=_bytes_per_token(path),
            context_window=window,
            facts={"weights": self.weights, **_facts(decoding, n_threads)},
            kv_cache=_kv_cache(model_dir),
        )

    def prefill(self, token_ids: Sequence[int], max_length: int) -> Logits:
        self._loaded().begin(max(max_length, len(token_ids)))
        return self.extend(token_ids)

    def extend(self, token_ids: Sequence[int]) -> Logits:
        """See `ExtendingEngine`."""
        decoding = self._loaded()
        starts = range(0, len(token_ids), decoding.n_batch)
        addresses = [decoding.append(token_ids[start : start + decoding.n_batch]) for start in starts]
        return _logits(addresses[-1], decoding.vocabulary)

    def keep(self, n_kept: int, max_length: int) -> bool:
        """See `ContinuingEngine`."""
        return self._loaded().keep(n_kept, max_length)

    def decode(self, token_id: int) -> Logits:
        decoding = self._loaded()
        return _logits(decoding.append((token_id,)), decoding.vocabulary)

    @property
    def why_alone(self) -> str | None:
        """See `BatchEngine`."""
        return None

    def begin_batch(self, n_sequences: int, max_length: int) -> None:
        self._loaded().begin_sequences(n_sequences, max_length)
        self._lengths = [0] * n_sequences

    def read_sequence(self, sequence: int, token_ids: Sequence[int]) -> Logits:
        decoding, start = self._loaded(), self._lengths[sequence]
        for first in range(0, len(token_ids), decoding.n_batch):
            part = token_ids[first : first + decoding.n_batch]
            positions = range(start + first, start + first + len(part))
            decoding.append_to([sequence] * len(part), positions, part)
        self._lengths[sequence] += len(token_ids)
        return _logits(decoding.logits_at(-1), decoding.vocabulary)

    def decode_batch(self, sequences: Sequence[int], token_ids: Sequence[int]) -> BatchLogits:
        import numpy as np

        decoding = self._loaded()
        decoding.append_to(sequences, [self._lengths[each] for each in sequences], token_ids)
        for each in sequences:
            self._lengths[each] += 1
        rows = [_logits(decoding.logits_at(index), decoding.vocabulary) for index in range(len(sequences))]
        return np.stack(rows)

    def score(self, token_ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        decoding = self._loaded()
        decoding.begin(len(token_ids))
        for start in range(0, len(token_ids), _SCORED_AT_ONCE):
            block = token_ids[start : start + _SCORED_AT_ONCE]
            yield _all_logits(decoding.append_scored(start, block), len(block), decoding.vocabulary)

    def close(self) -> None:
        if self._decoding is not None:
            self._decoding.close()
        self._decoding = None

    def _loaded(self) -> Decoding:
        assert self._decoding is not None  # noqa: S101 - the protocol loads first
        return self._decoding


def _logits(address: int, vocabulary: int) -> Logits:
    """Return llama.cpp's own memory as an array."""
    found: Logits = _all_logits(address, 1, vocabulary)[0]
    return found


def _all_logits(address: int, n_rows: int, vocabulary: int) -> NDArray[np.float32]:
    import numpy as np

    found: NDArray[np.float32] = np.ctypeslib.as_array((ctypes.c_float * (n_rows * vocabulary)).from_address(address))
    return found.reshape(n_rows, vocabulary)


def _facts(decoding: Decoding, n_threads: int) -> dict[str, str]:
    """Return what llama.cpp says of itself, of the file, and of the context that it made."""
    types = _KV_TYPES.search(decoding.log)
    flash = re.search(r"Flash Attention (?:was auto, set to )?(\w+)", decoding.log)
    return {
        "file": decoding.description,
        "KV-cache": f"K {types[1].upper()}, V {types[2].upper()}" if types else "unknown",
        "flash attention": flash[1] if flash else "unknown",
        "instruction sets": f"{decoding.library.instruction_sets} (compiled in)",
        "threads": str(n_threads),
        "runtime": decoding.library.version,
    }


def _bytes_per_token(path: Path) -> int:
    """Return the bytes of the tensors that every token reads: all but tables of which it takes a row."""
    from tuibench.models.origin.gguf.header import read_header

    tensors = read_header(path).tensors
    tables = {"position_embd.weight"} | ({"token_embd.weight"} if "output.weight" in tensors else set())
    ordered = sorted(tensors.values(), key=lambda tensor: tensor.offset_bytes)
    ends = [*(tensor.offset_bytes for tensor in ordered[1:]), path.stat().st_size]
    return sum(
        end - tensor.offset_bytes for tensor, end in zip(ordered, ends, strict=True) if tensor.name not in tables
    )


def _kv_cache(model_dir: Path) -> KvCacheSize | None:
    from tuibench.engines.decoder.read import read_decoder

    try:
        decoder = read_decoder(model_dir)
    except UnsupportedModelError:
        return None  # a file of an architecture that only llama.cpp knows
    return decoder.kv_cache(_F16_BYTES)


class _Written(_LlamaCpp):
    """On a file that is written from the model's weights."""

    file_type: ClassVar[FileType]
    weights = "the model's, written as GGUF from the same file that the ladder reads"

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        from tuibench.engines.runtimes.llama_cpp.files import prepare_gguf

        return prepare_gguf(model_dir, self.file_type, progress)

    def _path(self, model_dir: Path) -> Path:
        from tuibench.engines.runtimes.llama_cpp.files import gguf_path

        found = gguf_path(model_dir, self.file_type)
        assert found is not None  # noqa: S101 - the protocol prepares first
        return found


class LlamaCppF16(_Written):
    """Weights in FP16."""

    file_type = "f16"
    method = Method(
        id="llama-cpp-f16",
        title="llama.cpp, F16",
        explanation="llama.cpp on the same weights in FP16, its own defaults",
        parent=None,
        precision="fp16",
        exact=False,
        requires=("xllamacpp",),
        runtime=RUNTIME,
    )


class LlamaCppQ8(_Written):
    """INT8 in blocks of 32."""

    file_type = "q8_0"
    method = Method(
        id="llama-cpp-q8_0",
        title="llama.cpp, Q8_0",
        explanation="llama.cpp on the same weights in blocks of 32 INT8",
        parent=None,
        precision="int8",
        requires=("xllamacpp",),
        runtime=RUNTIME,
    )


class LlamaCppQ4(_Written):
    """INT4 in blocks of 32."""

    file_type = "q4_0"
    method = Method(
        id="llama-cpp-q4_0",
        title="llama.cpp, Q4_0",
        explanation="llama.cpp on the same weights in blocks of 32 INT4, its head finer",
        parent=None,
        precision="int4",
        requires=("xllamacpp",),
        runtime=RUNTIME,
    )


class LlamaCppQ4KM(_Written):
    """INT4 in blocks of 256, some tensors in 6 bits."""

    file_type = "q4_k_m"
    method = Method(
        id="llama-cpp-q4_k_m",
        title="llama.cpp, Q4_K_M",
        explanation="llama.cpp on the same weights, its mix of 4 and 6 bits that most people download",
        parent=None,
        precision="int4",
        requires=("xllamacpp",),
        runtime=RUNTIME,
    )


class LlamaCppFile(_LlamaCpp):
    """The GGUF file that the model was converted from."""

    weights = "the GGUF file as it is; the ladder reads what it was converted to"
    method = Method(
        id="llama-cpp-file",
        title="llama.cpp, your file",
        explanation="llama.cpp on the GGUF file that the model came from, as it is",
        parent=None,
        precision="unknown",
        exact=False,
        requires=("xllamacpp",),
        runtime=RUNTIME,
        named_only=True,
    )

    def prepare(self, model_dir: Path, progress: Progress) -> bool:
        del progress
        self._path(model_dir)
        return False

    def _path(self, model_dir: Path) -> Path:
        from tuibench.models.cache import source_file

        return source_file(model_dir)
